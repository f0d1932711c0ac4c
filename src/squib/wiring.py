"""Who gets which implementation: the one place where the use cases meet the real kernel source, VMM and store.

What a command does not need is not imported for it: `squib ps` loads no builder.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from squib.errors import UsageError
from squib.host import command
from squib.host.files import cache_home, working_folder

if TYPE_CHECKING:
    from squib.app.building import Building
    from squib.app.running import Running
    from squib.build.artifact import BuildPlan
    from squib.build.kernels import KernelSource
    from squib.model.appliance import Appliance
    from squib.model.image import Artifact
    from squib.model.machine import Accel, AccelChoice, MachineConfig
    from squib.model.progress import Progress
    from squib.model.run import RunSpec
    from squib.vmm.base import Vmm

__all__ = ["House", "house", "kernel_source"]


@dataclass(frozen=True, slots=True)
class House:
    """What the verbs ask for things; the options say where the kernel comes from."""

    kernel: Path | None
    modules: Path | None
    refresh: bool

    def plan_build(self, appliance: Appliance, report: Progress) -> BuildPlan:
        """What would be in the image."""
        return self._building().plan(appliance, report)

    def build(self, appliance: Appliance, output: Path, report: Progress) -> Artifact:
        """The four files in `output`."""
        return self._building().build(appliance, output, report)

    def artifact(self, selector: str | None, report: Progress) -> Artifact:
        """What a run boots."""
        return self._building().artifact(selector, working_folder(), report)

    def show(self, running: Running, artifact: Artifact, spec: RunSpec, what: str) -> str:
        """The machine that would be booted, or QEMU's command line for it, as text."""
        config = running.plan(artifact, spec)
        return _show_machine(config) if what == "machine" else _show_argv(running, artifact, spec, config)

    @contextlib.contextmanager
    def running(self) -> Iterator[Running]:
        """The use cases of machines, with the store open."""
        from squib.app.running import Running
        from squib.store import Store

        with Store() as store:
            yield Running(store, _qemu, _choose, _open_artifact)

    def _building(self) -> Building:
        from squib.app.building import Building

        return Building(kernel_source(self.kernel, self.modules, refresh=self.refresh), cache_home() / "artifacts", _in_use)


def house(*, kernel: Path | None = None, modules: Path | None = None, refresh: bool = False) -> House:
    """The house as these options want it. Raises UsageError where they contradict each other."""
    if modules is not None and kernel is None:
        raise UsageError("--modules goes with --kernel", hint="name the kernel that these modules belong to")
    if refresh and kernel is not None:
        raise UsageError("--refresh goes with the distribution's kernel, not with --kernel", hint="leave one of them out")
    return House(kernel, modules, refresh)


def kernel_source(kernel: Path | None, modules: Path | None, *, refresh: bool = False) -> KernelSource:
    """The file that the user named, else the distribution's package."""
    if kernel is not None:
        from squib.build.kernel_file import FileKernel

        return FileKernel(kernel, modules)
    from squib.build.kernel_package import PackageKernel

    return PackageKernel(refresh=refresh)


def _qemu(accel: Accel) -> Vmm:
    from squib.vmm.qemu.launch import PACKAGE, PROGRAM, Qemu

    return Qemu(command.find(PROGRAM, package=PACKAGE), accel)


def _in_use() -> frozenset[Path]:
    from squib.store import Store

    with Store() as store:
        return frozenset(machine.artifact for machine in store.list() if machine.artifact is not None)


def _open_artifact(folder: Path) -> Artifact:
    from squib.build.artifact import open_artifact

    return open_artifact(folder)


def _choose(wanted: Accel | None, kernel: Path, kernel_sha256: str) -> AccelChoice:
    from squib.vmm.qemu.accel import choose
    from squib.vmm.qemu.launch import PACKAGE, PROGRAM

    return choose(wanted, kernel=kernel, kernel_sha256=kernel_sha256, program=command.find(PROGRAM, package=PACKAGE))


def _show_machine(config: MachineConfig) -> str:
    import dataclasses
    import json

    return json.dumps(dataclasses.asdict(config), indent=2, default=str)


def _show_argv(running: Running, artifact: Artifact, spec: RunSpec, config: MachineConfig) -> str:
    import shlex

    from squib.app.running import kernel_digest
    from squib.model.machine import PortForward
    from squib.vmm.plan import publications, with_lease
    from squib.vmm.qemu.argv import argv
    from squib.vmm.qemu.launch import PACKAGE, PROGRAM

    choice = running.choose(spec.accel, artifact.vmlinux, kernel_digest(artifact))
    wished = publications(artifact.manifest.appliance, spec)
    forwards = tuple(PortForward(one.host_address, one.host_port, one.guest_port) for one in wished)
    return shlex.join(
        argv(with_lease(config, config.name, forwards), choice.accel, program=command.find(PROGRAM, package=PACKAGE))
    )
