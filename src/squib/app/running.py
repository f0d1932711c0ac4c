"""Starting a machine, owning it while it starts, and letting it go; and starting one again as it was.

`started` owns what it makes: leave it by any exception and the machine, its folder, its name and its ports are gone. `restart`
owns a machine that was there before: leave it by any exception and the machine has ended, and its console and what it was
started with are still there.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from squib.app import jailing, user_networks
from squib.app.belongings import Belongings
from squib.app.ending import Ending
from squib.app.events import RunEvents
from squib.errors import ApplianceError, GuestError, MissingError, SquibError, TakenError
from squib.formats.console_lines import Ready
from squib.host.files import storage_errors
from squib.host.untrusted import read_file
from squib.model.image import MANIFEST, ROOTFS, VMLINUX, Artifact
from squib.model.machine import Accel, EndedBy, MachineConfig, VmmChoice, VmState
from squib.model.run import Publish, RunSpec
from squib.store import Machine, Reservation, Store
from squib.vmm.base import OnOutput, Vm, VmEnd, Vmm
from squib.vmm.diagnosis import DiedEarlyError, suspect_memory
from squib.vmm.handover import held_by_us
from squib.vmm.plan import ample_mem_size_mib, endpoints, machine_config, publications, with_lease
from squib.vmm.process_vm import last_words
from squib.vmm.reconcile import Cleaned
from squib.vmm.run_dir import CONSOLE, clear_run_dir, end_in_run_dir
from squib.wire import run_spec
from squib.wire.manifest import MAX_BYTES

__all__ = ["Running", "Session", "kernel_digest"]

_PORT_TRIES = 5
"""How often a freely chosen port may turn out to be somebody else's before that is an error."""


@dataclass(slots=True)
class Session:
    """A machine that serves, owned by this process until `detach`. `boot_s`: seconds from launch to the readiness line."""

    machine: Machine
    config: MachineConfig
    choice: VmmChoice
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
        with contextlib.suppress(SquibError):  # a full disk must not keep it from being stopped; or somebody removed it
            self._store.stopping(self.machine.id)
        return self.vm.stop(timeout, on_output)


def kernel_digest(artifact: Artifact) -> str:
    """The kernel's sha256, by which a trial of KVM is remembered."""
    return next(file.sha256 for file in artifact.manifest.files if file.name == VMLINUX)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What will be booted, how, and by whom; nothing exists yet."""

    artifact: Artifact
    spec: RunSpec
    config: MachineConfig
    choice: VmmChoice
    vmm: Vmm
    jailed: bool = False


@dataclass(frozen=True, slots=True)
class Running:
    """`vmm_for` gives the VMM of that name, for a way to accelerate; `choose` says which works here for a kernel, and why.

    `open_artifact` reads and checks the artifact in a folder.
    """

    store: Store
    vmm_for: Callable[[str, Accel], Vmm]
    choose: Callable[[RunSpec, Path, str], VmmChoice]
    open_artifact: Callable[[Path], Artifact]

    @property
    def ending(self) -> Ending:
        """The other half: stop, wait, remove."""
        return Ending(self.store, self.vmm_for)

    @property
    def belongings(self) -> Belongings:
        """What machines have on the host."""
        return Belongings(self.store)

    def clean(self) -> tuple[Cleaned, ...]:
        """Sets right what a crash left behind."""
        return self.ending.clean()

    def plan(self, artifact: Artifact, spec: RunSpec) -> MachineConfig:
        """The machine as far as it is known before a name and ports are leased. Raises UsageError."""
        publications(artifact.manifest.appliance, spec)
        return machine_config(artifact, spec, spec.name or artifact.manifest.appliance.name)

    @contextlib.contextmanager
    def started(
        self, artifact: Artifact, spec: RunSpec, events: RunEvents, *, kernel_args: tuple[str, ...] = ()
    ) -> Iterator[Session]:
        """Boots `artifact` and waits until it serves. On exit it is ended and forgotten, unless it was detached.

        `kernel_args` are for this boot only: a restart has none of them.
        """
        prepared = self._prepare(artifact, spec)
        config = replace(prepared.config, kernel_args=(*prepared.config.kernel_args, *kernel_args))
        prepared = replace(prepared, config=config)
        machine = self.store.reserve(_reservation(prepared))
        session: Session | None = None
        try:
            with self._booted(machine, prepared, events) as session:
                yield session
        finally:
            if session is None or not session.detached:
                self._forget(machine)

    def restart(self, name: str, timeout: float, events: RunEvents) -> Machine:
        """Stops the machine `name` (in `timeout` seconds) where it runs, and starts it as before: same spec, name and ports.

        What can be refused is refused before it is stopped. Raises MissingError (the machine, or the image that it was
        started from), ApplianceError (that was changed), TakenError (a port, or it runs in the foreground).
        """
        machine, prepared = self._restartable(name)
        self.ending.stop_seen(machine, timeout)
        machine = self.store.revive(machine.id, _reservation(prepared))
        try:
            clear_run_dir(machine.run_dir)
            with self._booted(machine, prepared, events) as session:
                session.detach()
        except BaseException as error:
            self._give_up(machine, error)
            raise
        return self.store.find(machine.id) or machine

    def check_restart(self, name: str) -> None:
        """Raises what `restart` would refuse the machine with."""
        self._restartable(name)

    def _restartable(self, name: str) -> tuple[Machine, _Prepared]:
        machine = self.store.get(name)
        if machine.owner is not None:
            raise TakenError(
                f"the machine {name} belongs to the squib process {machine.owner.pid}",
                hint="it runs in the foreground, or is just being started; only detached machines are restarted",
            )
        return machine, self._prepare(*self._as_before(machine))

    def _prepare(self, artifact: Artifact, spec: RunSpec) -> _Prepared:
        planned = self.plan(artifact, spec)
        choice = self.choose(spec, held_by_us(planned, planned.kernel), kernel_digest(artifact))
        jailed = jailing.wanted(spec, choice.vmm)
        return _Prepared(artifact, spec, planned, choice, self.vmm_for(choice.vmm, choice.accel), jailed)

    @contextlib.contextmanager
    def _booted(self, machine: Machine, prepared: _Prepared, events: RunEvents) -> Iterator[Session]:
        events.chosen(machine, prepared.choice)
        with contextlib.ExitStack() as stack:
            try:
                session = self._first_or_second_boot(machine, prepared, events)
                stack.enter_context(session.vm)
            except GuestError as error:
                ample = ample_mem_size_mib(prepared.artifact)
                raise suspect_memory(error, mem_size_mib=prepared.config.mem_size_mib, ample_mib=ample) from error
            finally:
                events.waited()
            self.store.ready(session.machine.id, round(session.boot_s * 1000))
            yield session

    def _first_or_second_boot(self, machine: Machine, prepared: _Prepared, events: RunEvents) -> Session:
        """Under emulation a kernel can lose its time on a busy host, and die of it: that is tried once more, and told."""
        try:
            return self._boot(machine, prepared, events)
        except DiedEarlyError as error:
            found = self.store.find(machine.id)
            if prepared.choice.accel is not Accel.TCG or found is None or found.state is not VmState.STARTING:
                raise  # KVM keeps its guest's time; or somebody wants it stopped, or gone
            events.boots_again(error)
            self.belongings.networks.detach(machine)
            clear_run_dir(machine.run_dir)  # ends what works in it
            return self._boot(machine, prepared, events)

    def _boot(self, machine: Machine, prepared: _Prepared, events: RunEvents) -> Session:
        begin = time.monotonic()
        machine, config, vm = self._launched(machine, prepared)
        try:
            self.store.started(machine.id, vm.identity)
            ready = vm.wait_ready(prepared.spec.ready_timeout_s, events.output)
        except BaseException:
            vm.close()
            raise
        return Session(machine, config, prepared.choice, vm, ready, time.monotonic() - begin, self.store)

    def _launched(self, machine: Machine, prepared: _Prepared) -> tuple[Machine, MachineConfig, Vm]:
        """A freely chosen port that somebody takes before the VMM does is chosen anew."""
        wished = publications(prepared.artifact.manifest.appliance, prepared.spec)
        tries = _PORT_TRIES if any(one.host_port == 0 for one in wished) else 1
        while True:
            tries -= 1
            try:
                config = self._with_jail(machine, prepared, self._with_network(machine, prepared))
                return machine, config, prepared.vmm.launch(config, machine.run_dir)
            except TakenError:
                self.belongings.networks.detach(machine)
                if not tries:
                    raise
                machine = self.store.lease_anew(machine.id, wished)

    def _with_network(self, machine: Machine, prepared: _Prepared) -> MachineConfig:
        config = with_lease(prepared.config, machine.name, machine.forwards)
        spec = prepared.spec
        if spec.user_network:
            return user_networks.attach(config, machine.forwards, outbound=spec.outbound)
        if not spec.host_network:
            return config
        return self.belongings.networks.attach(machine, config, outbound=spec.outbound)

    def _with_jail(self, machine: Machine, prepared: _Prepared, config: MachineConfig) -> MachineConfig:
        return self.belongings.jails.assign(machine, config) if prepared.jailed else config

    def _as_before(self, machine: Machine) -> tuple[Artifact, RunSpec]:
        anew = f"squib rm {machine.name}, and squib run it anew"
        if not machine.run_spec or machine.artifact is None:
            raise MissingError(f"how {machine.name} was started is not known: an older squib did it", hint=anew)
        spec = run_spec.decode(machine.run_spec)
        with storage_errors(machine.artifact):
            if not machine.artifact.is_dir():
                raise MissingError(f"the image that {machine.name} was started from is gone: {machine.artifact}", hint=anew)
        artifact = self.open_artifact(machine.artifact)
        if _manifest_digest(artifact) != machine.manifest_digest:
            raise ApplianceError(f"{machine.artifact} was built anew since {machine.name} was started from it", hint=anew)
        same = tuple(Publish(one.host_address, one.host_port, one.guest_port) for one in machine.published)
        return artifact, replace(spec, name=machine.name, publish=same)

    def _forget(self, machine: Machine) -> None:
        """Ends a machine of this process and all that is known of it; unless it was ended and started again meanwhile."""
        try:
            with self.store.transaction():
                found = self.store.find(machine.id)
                if found is None or found.restarts == machine.restarts:
                    clear_run_dir(machine.run_dir)  # ends what works in it
                    self.store.remove(machine.id)
        except SquibError:
            clear_run_dir(machine.run_dir)  # whatever became of the store, nothing runs on
            with contextlib.suppress(SquibError):
                self.belongings.networks.detach(machine)  # its tap and its rules go, also where the lease cannot be given back
            raise
        self.belongings.tidy()

    def _give_up(self, machine: Machine, error: BaseException) -> None:
        """The restart failed: nothing of it runs on, and the store says why; unless another command was first."""
        try:
            with self.store.transaction():
                found = self.store.find(machine.id)
                if found is not None and found.owner == machine.owner:
                    self._mark_given_up(machine, error)
        except SquibError:
            end_in_run_dir(machine.run_dir)  # as above
            raise
        self.belongings.tidy()

    def _mark_given_up(self, machine: Machine, error: BaseException) -> None:
        end_in_run_dir(machine.run_dir)
        words = None
        with contextlib.suppress(SquibError):  # no console, no words
            words = last_words(machine.run_dir / CONSOLE)
        if words is None:
            words = VmEnd(None, f"it did not start again: {_why(error)}", EndedBy.FORCE)
        self.store.exited(machine.id, words.status, words.reason, words.by)


def _why(error: BaseException) -> str:
    """What kept it from starting, as `squib ps` tells it: Ctrl-C and the signals that end squib have no words of their own."""
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return "interrupted"
    return str(error) or type(error).__name__


def _manifest_digest(artifact: Artifact) -> str:
    return artifact.digest or hashlib.sha256(read_file(artifact.folder / MANIFEST, max_bytes=MAX_BYTES)).hexdigest()


def _reservation(prepared: _Prepared) -> Reservation:
    manifest, spec = prepared.artifact.manifest, prepared.spec
    return Reservation(
        name=spec.name,
        base_name=manifest.appliance.name,
        publish=publications(manifest.appliance, spec),
        vmm=prepared.vmm.name,
        accel=prepared.choice.accel,
        image_digest=next(file.sha256 for file in manifest.files if file.name == ROOTFS),
        mem_size_mib=prepared.config.mem_size_mib,
        vcpu_count=prepared.config.vcpu_count,
        accel_reason=prepared.choice.reason,
        run_spec=run_spec.encode(spec),
        artifact=prepared.artifact.folder.resolve(),
        manifest_digest=_manifest_digest(prepared.artifact),
        endpoints=endpoints(manifest.appliance, spec),
    )
