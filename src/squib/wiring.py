"""Who gets which implementation: the one place where the use cases meet the real kernel source, VMM and store.

What a command does not need is not imported for it: `squib ps` loads no builder.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from squib.errors import UnavailableError, UsageError
from squib.host import command
from squib.host.files import cache_home, working_folder
from squib.model.machine import VmmKind

if TYPE_CHECKING:
    from squib.app.building import Building
    from squib.app.imaging import ImageOptions
    from squib.app.pruning import Cleaning
    from squib.app.running import Running
    from squib.build.artifact import BuildPlan
    from squib.build.kernels import KernelSource
    from squib.model.appliance import Appliance
    from squib.model.cached import Pruning
    from squib.model.container import ContainerImage
    from squib.model.drop import Drop, DropNetwork
    from squib.model.image import Artifact
    from squib.model.machine import Accel, MachineConfig, VmmChoice
    from squib.model.progress import Progress
    from squib.model.reference import Reference
    from squib.model.run import RunSpec
    from squib.vmm.base import Vmm
    from squib.vmm.choice import Programs
    from squib.vmm.firecracker.fetch import Fetched

__all__ = ["TUNED", "House", "fetch_firecracker", "house", "kernel_source"]

TUNED = "tuned"
"""What `--kernel` calls the tuned kernel."""


@dataclass(frozen=True, slots=True)
class House:
    """What the verbs ask for things; the options say where the kernel comes from."""

    kernel: str | None
    modules: Path | None
    refresh: bool

    def plan_build(self, appliance: Appliance, report: Progress) -> BuildPlan:
        """What would be in the image."""
        return self._building().plan(appliance, report)

    def build(
        self, appliance: Appliance, output: Path, report: Progress, bill: Path | None = None, created: int = 0
    ) -> Artifact:
        """The files in `output`, and their bill of materials, of the time `created`, in `bill`."""
        return self._building().build(appliance, output, report, bill, created)

    def plan_image(self, appliance: Appliance, options: ImageOptions, report: Progress) -> ContainerImage:
        """The container image, in memory."""
        from squib.app.imaging import plan_image

        return plan_image(appliance, options, report)

    def image(
        self, appliance: Appliance, options: ImageOptions, output: Path, report: Progress, bill: Path | None = None
    ) -> ContainerImage:
        """The container image in the file `output`, and its bill of materials in `bill`."""
        from squib.app.imaging import write_image

        return write_image(appliance, options, output, report, bill)

    def push(self, appliance: Appliance, options: ImageOptions, report: Progress, *, insecure: bool) -> str:
        """Makes the container image and sends it to a registry; its digest."""
        from squib.app.pushing import push_appliance

        return push_appliance(appliance, options, report, insecure=insecure)

    def push_file(self, file: Path, reference: Reference, report: Progress, *, insecure: bool) -> str:
        """Sends an image's file to a registry; its digest."""
        from squib.app.pushing import push_file

        return push_file(file, reference, report, insecure=insecure)

    def drop(self, appliance: Appliance, folder: Path, network: DropNetwork, report: Progress) -> Drop:
        """The files that boot it elsewhere, in `folder`."""
        from squib.app.dropping import Dropping

        return Dropping(self._building(), _firecracker).drop(appliance, folder, network, report)

    def artifact(self, selector: str | None, report: Progress) -> Artifact:
        """What a run boots."""
        artifact = self._building().artifact(selector, working_folder(), report)
        self._cleaning().tidy()
        return artifact

    def prune(self, *, everything: bool, dry_run: bool) -> Pruning:
        """Removes from the cache what no machine needs; what went, or would."""
        return self._cleaning().prune(everything=everything, dry_run=dry_run)

    def chosen(self, selector: str | None) -> Artifact | Appliance:
        """What `selector` names, before anything is built."""
        return self._building().chosen(selector, working_folder())

    def made(self, chosen: Artifact | Appliance, report: Progress) -> Artifact:
        """The artifact of what was chosen, built where needed."""
        return self._building().made(chosen, report)

    def show(self, running: Running, artifact: Artifact, spec: RunSpec, what: str) -> str:
        """What would be booted, as text: the `machine`, its VMM's `argv`, or the `requests` to Firecracker."""
        config = running.plan(artifact, spec)
        return _show_machine(config) if what == "machine" else _show_start(running, artifact, spec, config, what)

    @contextlib.contextmanager
    def running(self) -> Iterator[Running]:
        """The use cases of machines, with the store open."""
        from squib.app.running import Running
        from squib.store import Store

        with Store() as store:
            yield Running(store, _vmm, _choose, _open_artifact)

    def with_network(self, spec: RunSpec, wish: str) -> RunSpec:
        """`spec` with what `--network` comes to here. Raises UsageError where it contradicts something else."""
        from squib.app.networking import resolve

        return resolve(spec, wish)

    def look_ahead(self, spec: RunSpec) -> None:
        """Raises UnavailableError and its like where what `spec` needs is not installed: known before anything is built."""
        from squib.vmm.choice import look_ahead

        look_ahead(spec, _programs())
        if spec.user_network:
            from squib.app import user_networks

            user_networks.look_ahead()

    def _building(self) -> Building:
        from squib.app.building import Building

        return Building(kernel_source(self.kernel, self.modules, refresh=self.refresh), cache_home() / "artifacts", _in_use)

    def _cleaning(self) -> Cleaning:
        from squib.app.pruning import Cleaning
        from squib.vmm.firecracker.binaries import cached

        return Cleaning(cache_home(), _in_use, cached())


def house(*, kernel: str | None = None, modules: Path | None = None, refresh: bool = False) -> House:
    """The house as these options want it. Raises UsageError where they contradict each other."""
    if modules is not None and kernel in {None, TUNED}:
        raise UsageError("--modules goes with --kernel PATH", hint="name the kernel that these modules belong to")
    if refresh and kernel is not None:
        raise UsageError("--refresh goes with the distribution's kernel, not with --kernel", hint="leave one of them out")
    return House(kernel, modules, refresh)


def kernel_source(kernel: str | None, modules: Path | None, *, refresh: bool = False) -> KernelSource:
    """The tuned one, by that word (./tuned is a file); the file that the user named; else the distribution's package."""
    if kernel == TUNED:
        from squib.build.tuned_kernels import TunedKernel

        return TunedKernel()
    if kernel is not None:
        from squib.build.kernel_file import FileKernel

        return FileKernel(Path(kernel), modules)
    from squib.build.kernel_package import PackageKernel

    return PackageKernel(refresh=refresh)


def fetch_firecracker(source: str | None, report: Progress) -> Fetched:
    """Firecracker and its jailer in the cache; `source` is a `Source`, None: the first one that has them."""
    from squib.vmm.firecracker.fetch import Source, fetch

    return fetch(None if source is None else Source(source), report)


def _vmm(name: str, accel: Accel) -> Vmm:
    if name == VmmKind.FIRECRACKER:
        from squib.vmm.firecracker import binaries
        from squib.vmm.firecracker.launch import Firecracker

        found = binaries.find()
        return Firecracker(None) if found is None else Firecracker(found.path, binaries.find_jailer(found.path))
    from squib.vmm.qemu.launch import Qemu

    return Qemu(_qemu(), accel)


def _qemu() -> Path:
    from squib.vmm.qemu.launch import PACKAGE, PROGRAM

    return command.find(PROGRAM, package=PACKAGE)


def _firecracker() -> Path:
    from squib.vmm.firecracker.binaries import checked, find

    found = find()
    if found is None:
        raise UnavailableError("there is no Firecracker on this machine", hint="squib fetch firecracker")
    return checked(found.path)


def _in_use() -> frozenset[Path]:
    """What of the cache the machines in the store need: those that ended too, for a restart."""
    from squib.store import Store
    from squib.vmm.firecracker.binaries import cached

    with Store() as store:
        machines = store.list()
    programs = {cached().resolve()} if any(machine.vmm == VmmKind.FIRECRACKER for machine in machines) else set[Path]()
    return frozenset({machine.artifact for machine in machines if machine.artifact is not None} | programs)


def _open_artifact(folder: Path) -> Artifact:
    from squib.build.opening import open_artifact

    return open_artifact(folder)


def _choose(spec: RunSpec, kernel: Path, kernel_sha256: str) -> VmmChoice:
    from squib.vmm.choice import choose

    return choose(spec, kernel, kernel_sha256, _programs())


def _programs() -> Programs:
    from squib.vmm.choice import Programs
    from squib.vmm.firecracker import binaries

    found = binaries.find()
    return Programs(_qemu, None if found is None else found.path)


def _show_machine(config: MachineConfig) -> str:
    import dataclasses
    import json

    shown = dataclasses.asdict(dataclasses.replace(config, held=()))
    del shown["held"]  # by which descriptors is of this process alone
    return json.dumps(shown, indent=2, default=str)


def _show_start(running: Running, artifact: Artifact, spec: RunSpec, config: MachineConfig, what: str) -> str:
    """The command line of the VMM that would be chosen, or what it would be asked for."""
    import shlex

    from squib.app import user_networks
    from squib.app.running import kernel_digest
    from squib.model.machine import PortForward
    from squib.vmm.firecracker import binaries, configuration
    from squib.vmm.handover import held_by_us
    from squib.vmm.plan import publications, with_lease
    from squib.vmm.qemu.argv import argv

    choice = running.choose(spec, held_by_us(config, config.kernel), kernel_digest(artifact))
    if choice.vmm is VmmKind.FIRECRACKER:
        found = binaries.find()
        if what == "requests":
            return "\n".join(f"{one.method} {one.path} {one.body.decode()}" for one in configuration.requests(config))
        return shlex.join(configuration.argv(config, program=Path("firecracker") if found is None else found.path))
    if what == "requests":
        raise UsageError("QEMU is told all by its command line", hint="--show argv; or --vmm firecracker")
    wished = publications(artifact.manifest.appliance, spec)
    forwards = tuple(PortForward(one.host_address, one.host_port, one.guest_port) for one in wished)
    config = with_lease(config, config.name, forwards)
    if spec.user_network:
        config = user_networks.attach(config, forwards, outbound=spec.outbound)
    return shlex.join(argv(config, choice.accel, program=_qemu()))
