"""`squib doctor`: everything this machine needs and has, one row after the other.

The rule: no look ends the report. Each has a time limit, its own where it starts a program, else that of a thread that is left
behind; what it raises becomes a row. The rooms that a look asks are imported by it, so that a missing package is a row as well.
Nothing is installed, downloaded or changed, but for the trial boot's answer, which is kept as a run keeps it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from squib.app import verdicts
from squib.errors import MissingError, SquibError, UnavailableError
from squib.host import command, kvm, registry, survey
from squib.host.files import cache_home, state_home
from squib.model.findings import (
    BillLibraryFound,
    DatabaseFound,
    DeviceFound,
    FirecrackerFound,
    FolderFound,
    JailerFound,
    KernelBuildFound,
    KernelFound,
    KvmFound,
    ProgramFound,
    QemuFound,
    Row,
    TunedFound,
    Unlooked,
    User,
)

if TYPE_CHECKING:
    from squib.build.kernels import Kernel

__all__ = ["examine"]

_Found = TypeVar("_Found")

_LOOK_S = 5.0
_QEMU_S = 20.0
_KVM, _TUN = Path("/dev/kvm"), Path("/dev/net/tun")
_APT_LISTS = Path("/var/lib/apt/lists")


def examine(*, retry: bool = False) -> Iterator[Row]:
    """The rows, as they are found. `retry` drops what is known of KVM and tries anew."""
    user = survey.user()
    yield _row("system", survey.system, verdicts.system)
    python = _attempt(survey.python)
    yield _judged("python", python, verdicts.python)
    yield _judged("python packages", python, verdicts.packages)
    yield _row("qemu-system-x86_64", _qemu, partial(verdicts.qemu, user=user))
    for name in ("mke2fs", "debugfs"):
        yield _row(name, partial(_e2fsprogs, name), partial(verdicts.program, user=user))
    kernel = _attempt(_cached_kernel)
    yield _row("guest kernel", partial(_kernel, kernel), partial(verdicts.kernel, user=user))
    yield _row("tuned kernel", _tuned_kernel, verdicts.tuned_kernel, needed=False)
    yield from _apt_programs(user, kernel)
    yield _row("kvm", partial(_kvm, kernel, retry=retry), partial(verdicts.kvm, user=user), needed=False)
    yield from _storage(user)
    yield _row("memory", survey.memory, verdicts.memory)
    yield from _for_later(user)


def _apt_programs(user: User, kernel: Kernel | Unlooked | None) -> Iterator[Row]:
    """Only to get a kernel with: where one is cached, they can wait."""
    judge = partial(
        verdicts.program, user=user, needed=kernel is None or isinstance(kernel, Unlooked), use="only to download a kernel with"
    )
    for name, package in (("apt-get", "apt"), ("dpkg-deb", "dpkg")):
        yield _row(name, partial(survey.program, name, package=package), judge)


def _storage(user: User) -> Iterator[Row]:
    for purpose, home in (("cache", cache_home), ("state", state_home)):
        yield _row(purpose, partial(_bounded, partial(_folder, purpose, home)), partial(verdicts.folder, user=user))
    yield _row("machines", partial(_bounded, _database), verdicts.database)


def _for_later(user: User) -> Iterator[Row]:
    yield _row(
        "tun", partial(_bounded, partial(survey.device, _TUN, module="tun")), partial(verdicts.tun, user=user), needed=False
    )
    yield _row("user namespaces", survey.namespaces, partial(verdicts.namespaces, user=user), needed=False)
    judge = partial(verdicts.program, user=user, needed=False, use="only Firecracker's machines with a network need it")
    yield _row("nft", partial(survey.program, "nft", package="nftables"), judge, needed=False)
    yield _row("pasta", _ways_out, partial(verdicts.way_out, user=user), needed=False)
    yield _row("firecracker", _firecracker, verdicts.firecracker, needed=False)
    if user.root:
        yield _row("jailer", _jailer, verdicts.jailer, needed=False)
    yield _row("kernel build", _kernel_build, partial(verdicts.kernel_build, user=user), needed=False)
    judge = partial(verdicts.program, user=user, needed=False, use="only squib push needs it")
    yield _row("skopeo", partial(survey.program, registry.PROGRAM, package=registry.PACKAGE), judge, needed=False)
    yield _row("sbom", _bill_library, verdicts.bill_library, needed=False)


def _row(name: str, look: Callable[[], _Found | Unlooked], judge: Callable[[_Found], Row], *, needed: bool = True) -> Row:
    return _judged(name, _attempt(look), judge, needed=needed)


def _judged(name: str, found: _Found | Unlooked, judge: Callable[[_Found], Row], *, needed: bool = True) -> Row:
    return verdicts.unlooked(name, found, needed=needed) if isinstance(found, Unlooked) else judge(found)


def _attempt(look: Callable[[], _Found | Unlooked]) -> _Found | Unlooked:
    try:
        return look()
    except SquibError as error:
        return Unlooked(str(error), error.hint)
    except Exception as error:  # noqa: BLE001 - the rule above: a strange machine is what this is for
        return Unlooked(f"{type(error).__name__}: {error}")


def _bounded(look: Callable[[], _Found]) -> _Found | Unlooked:
    """For looks at files, which wait for a network's file-system without end; its thread then stays behind until the exit."""
    answers: list[_Found | Unlooked] = []
    thread = threading.Thread(target=lambda: answers.append(_attempt(look)), daemon=True)
    thread.start()
    thread.join(_LOOK_S)
    return answers[0] if answers else Unlooked(f"no answer within {_LOOK_S:g} s", "df -h")


def _qemu() -> QemuFound:
    from squib.vmm.qemu.argv import check_argv
    from squib.vmm.qemu.launch import PACKAGE, PROGRAM

    program = survey.program(PROGRAM, package=PACKAGE)
    if program.path is None or program.problem:
        return QemuFound(program)
    try:
        command.run(check_argv(program=program.path), input=b"quit\n", timeout=_QEMU_S)
    except SquibError as error:
        return QemuFound(program, str(error), error.detail)
    return QemuFound(program)


def _firecracker() -> FirecrackerFound:
    from squib.vmm.firecracker import binaries

    found = binaries.find()
    if found is None:
        return FirecrackerFound(ProgramFound("firecracker", "", None), fetched=False, digest_from="")
    known = binaries.known(binaries.digest(found.path))
    try:
        program = survey.ask_version("firecracker", "", binaries.checked(found.path))
    except UnavailableError:
        program = ProgramFound(
            "firecracker", "", found.path, problem="it is not the one that squib fetched, so it is not tried"
        )
    return FirecrackerFound(program, found.fetched, "" if known is None else known.source)


def _jailer() -> JailerFound:
    from squib.app import jailer_check

    return jailer_check.look()


def _ways_out() -> tuple[ProgramFound, ...]:
    from squib.app.user_networks import PACKAGE
    from squib.model.namespace_network import WayOut

    return tuple(survey.program(kind, package=PACKAGE) for kind in WayOut)


def _e2fsprogs(name: str) -> ProgramFound:
    from squib.build import ext4

    found = survey.program(name, package="e2fsprogs", ask="-V")
    if found.path is None or found.problem:
        return found
    # They print their version where no caller sees it; the build reads it from the file, for the manifest.
    try:
        inputs = ext4.find_programs().inputs
    except UnavailableError:  # the other one is missing, which is its own row
        return found
    return replace(found, version=next((one.version for one in inputs if one.name == found.path.name), ""))


def _cached_kernel() -> Kernel | None:
    from squib.build.kernel_package import PackageKernel

    return PackageKernel().cached()


def _tuned_kernel() -> TunedFound:
    from squib.build.tuned_kernels import TUNED, find

    try:
        return TunedFound(find(TUNED).kernel.record.release)
    except MissingError:
        return TunedFound("")


def _kernel_build() -> KernelBuildFound:
    from squib.build.kernel_tools import missing_packages

    return KernelBuildFound(missing_packages())


def _bill_library() -> BillLibraryFound:
    from squib.wire import sbom

    return BillLibraryFound(survey.package(sbom.PACKAGE, "cyclonedx"), sbom.install_command())


def _kernel(cached: Kernel | Unlooked | None) -> KernelFound | Unlooked:
    from squib.build.kernel_package import PackageKernel

    if isinstance(cached, Unlooked):
        return cached
    if cached is not None:
        return KernelFound(cached.record.release, cached.record.source, "", lists=True, apt=True)
    lists = any(_APT_LISTS.glob("*Packages*"))
    try:
        return KernelFound("", "", PackageKernel().offered(), lists=lists, apt=True)
    except UnavailableError:
        return KernelFound("", "", "", lists=lists, apt=False)


def _kvm(kernel: Kernel | Unlooked | None, *, retry: bool) -> KvmFound:
    from squib.vmm import kvm_trial
    from squib.vmm.qemu import accel
    from squib.vmm.qemu.launch import PACKAGE, PROGRAM

    if retry:
        kvm_trial.forget()
    looked = kvm.look(_KVM)
    device = DeviceFound(_KVM, survey.permissions(_KVM), looked.problem, looked.hint)
    found = KvmFound(device, looked.module, looked.hardware)
    if looked.problem:
        return found
    if kernel is None or isinstance(kernel, Unlooked):
        return replace(found, untried="no guest kernel is cached yet", hint="squib demo")
    try:
        program = command.find(PROGRAM, package=PACKAGE)
    except UnavailableError as error:
        return replace(found, untried=str(error))  # QEMU has a row of its own, with the remedy
    kept = kvm_trial.kept(kernel.file.sha256, program) is not None
    trial = accel.trial(kernel.vmlinux, kernel.file.sha256, program)
    said = f"a trial boot of this kernel spoke after {trial.elapsed_ms} ms" if trial.works else trial.problem
    return replace(found, works=trial.works, trial=said, kept=kept)


def _folder(purpose: str, home: Callable[[], Path]) -> FolderFound:
    return survey.folder(purpose, home())


def _database() -> DatabaseFound:
    from squib.store.glance import glance

    path = state_home()
    try:
        found = glance(busy_s=_LOOK_S - 1, check=True)
    except SquibError as error:
        return DatabaseFound(path, None, str(error), error.hint)
    return DatabaseFound(found.path, None if found.machines is None else len(found.machines), "", "")
