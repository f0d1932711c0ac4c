"""Starting a machine, owning it while it starts, letting it go or ending it; and stopping and removing it by name.

`started` owns what it makes: leave it by any exception and the machine, its folder, its name and its ports are gone.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from squib.app.events import RunEvents
from squib.errors import MissingError, TakenError
from squib.formats.console_lines import Ready
from squib.model.image import VMLINUX, Artifact
from squib.model.machine import Accel, AccelChoice, MachineConfig, VmState
from squib.model.run import RunSpec
from squib.store import Machine, Reservation, Store
from squib.vmm.base import OnOutput, Vm, VmEnd, Vmm
from squib.vmm.plan import machine_config, publications, with_lease
from squib.vmm.reconcile import Cleaned, reconcile
from squib.vmm.run_dir import clear_run_dir

__all__ = ["Running", "Session", "artifact_digest"]


@dataclass(slots=True)
class Session:
    """A machine that serves, owned by this process until `detach`. `boot_s`: seconds from launch to the readiness line."""

    machine: Machine
    config: MachineConfig
    choice: AccelChoice
    vm: Vm
    ready: Ready
    boot_s: float
    _store: Store
    detached: bool = field(default=False, init=False)

    def detach(self) -> None:
        """Lets it run on without this process."""
        self._store.detached(self.machine.id)
        self.detached = True

    def stop(self, timeout: float, on_output: OnOutput | None = None) -> VmEnd:
        """Asks it to stop, and ends it after `timeout` seconds."""
        self._store.stopping(self.machine.id)
        return self.vm.stop(timeout, on_output)


def artifact_digest(artifact: Artifact) -> str:
    """The kernel's sha256, by which a trial of KVM is remembered."""
    return next(file.sha256 for file in artifact.manifest.files if file.name == VMLINUX)


@dataclass(frozen=True, slots=True)
class Running:
    """`vmm_for` gives the VMM for a way to accelerate; `choose` says which way works here for a kernel, and why."""

    store: Store
    vmm_for: Callable[[Accel], Vmm]
    choose: Callable[[Accel | None, Path, str], AccelChoice]

    def clean(self) -> tuple[Cleaned, ...]:
        """Sets right what a crash left behind."""
        return reconcile(self.store)

    def plan(self, artifact: Artifact, spec: RunSpec) -> MachineConfig:
        """The machine as far as it is known before a name and ports are leased. Raises UsageError."""
        publications(artifact.manifest.appliance, spec)
        return machine_config(artifact, spec, spec.name or artifact.manifest.appliance.name)

    @contextlib.contextmanager
    def started(self, artifact: Artifact, spec: RunSpec, events: RunEvents) -> Iterator[Session]:
        """Boots `artifact` and waits until it serves. On exit it is ended and forgotten, unless it was detached."""
        planned = self.plan(artifact, spec)
        choice = self.choose(spec.accel, artifact.vmlinux, artifact_digest(artifact))
        vmm = self.vmm_for(choice.accel)
        machine = self.store.reserve(_reservation(artifact, spec, planned, vmm.name, choice.accel))
        session: Session | None = None
        try:
            config = with_lease(planned, machine.name, machine.forwards)
            events.chosen(machine, choice)
            begin = time.monotonic()
            with vmm.launch(config, machine.run_dir) as vm:
                self.store.started(machine.id, vm.identity)
                ready = vm.wait_ready(spec.ready_timeout_s, events.output)
                self.store.ready(machine.id)
                session = Session(machine, config, choice, vm, ready, time.monotonic() - begin, self.store)
                yield session
        finally:
            if session is None or not session.detached:
                clear_run_dir(machine.run_dir)  # ends what works in it
                self.store.remove(machine.id)

    def stop(self, name: str, timeout: float) -> Machine:
        """Stops the machine `name`; how it is then (as it was, where it had ended). Raises MissingError, TakenError."""
        machine = self.store.get(name)
        if machine.over:
            return machine
        if machine.process is None:
            raise TakenError(f"the machine {name} is still being started", hint="try again in a moment")
        self.store.stopping(machine.id)
        vm = self.vmm_for(machine.accel).attach(machine.process, machine.run_dir)
        if vm is not None:
            with vm:
                end = vm.stop(timeout)
            if machine.owner is None:
                self.store.exited(machine.id, end.status, end.reason)
            else:  # its squib is in the foreground somewhere, sees the end, and cleans up
                return replace(machine, state=VmState.EXITED, exit_status=end.status, exit_reason=end.reason)
        self.clean()
        return self.store.get(name)

    def remove(self, name: str) -> None:
        """Forgets an ended machine and its logs. Raises MissingError, and TakenError where it still runs."""
        machine = self.store.get(name)
        if not machine.over:
            raise TakenError(f"the machine {name} is {machine.state}", hint=f"squib stop {name}")
        with contextlib.suppress(MissingError):
            clear_run_dir(machine.run_dir)
        self.store.remove(machine.id)


def _reservation(artifact: Artifact, spec: RunSpec, planned: MachineConfig, vmm: str, accel: Accel) -> Reservation:
    return Reservation(
        name=spec.name,
        base_name=artifact.manifest.appliance.name,
        publish=publications(artifact.manifest.appliance, spec),
        vmm=vmm,
        accel=accel,
        image_digest=next(file.sha256 for file in artifact.manifest.files if file.name == "rootfs.ext4"),
        mem_size_mib=planned.mem_size_mib,
        vcpu_count=planned.vcpu_count,
    )
