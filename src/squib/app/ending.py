"""The other half of a machine's life, by its name: stopped, waited for, removed.

The rule: between two looks at the store anybody may have stopped, removed or started a machine again. So what was seen to end
is written down for exactly that process, by the machine's id, and a name is looked up once.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from squib.app.belongings import Belongings
from squib.errors import MissingError, SquibError, TakenError
from squib.host.process import alive
from squib.model.machine import Accel, EndedBy, VmState
from squib.store import Machine, Store
from squib.vmm.base import Vm, VmEnd, Vmm
from squib.vmm.reconcile import Cleaned, reconcile
from squib.vmm.run_dir import clear_run_dir

__all__ = ["Ending", "with_process"]

_LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Ending:
    """`vmm_for` gives the VMM of that name, for a way to accelerate."""

    store: Store
    vmm_for: Callable[[str, Accel], Vmm]

    def clean(self) -> tuple[Cleaned, ...]:
        """Sets right what a crash left behind."""
        done = reconcile(self.store)
        Belongings(self.store).tidy()
        return done

    def stop(self, name: str, timeout: float) -> Machine:
        """Stops the machine `name`; how it is then (as it was, where it had ended).

        Raises MissingError; TakenError where it is still being started after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        return self.stop_seen(with_process(self.store, self.store.get(name), deadline), timeout)

    def stop_seen(self, machine: Machine, timeout: float) -> Machine:
        """Stops what `machine` was when it was looked at: if it was started again since, that runs on."""
        if machine.over:
            return machine
        with contextlib.suppress(SquibError):  # a full disk must not keep a machine from being stopped
            self.store.stopping(machine.id, machine.process)
        return self._ended(machine, lambda vm: vm.stop(timeout))

    def wait(self, name: str, timeout: float | None) -> Machine:
        """Waits until it has ended, or for `timeout` seconds; how it is then. Raises MissingError."""
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        machine = self.store.get(name)
        try:
            machine = with_process(self.store, machine, deadline)
        except TakenError:  # it was being started all the time
            return machine
        if machine.over:
            return machine
        return self._ended(machine, lambda vm: vm.wait(None if timeout is None else max(0.0, deadline - time.monotonic())))

    def remove(self, name: str, *, force: bool = False) -> Machine:
        """Forgets an ended machine and its logs; with `force` it is ended first, at once. How it was at its end.

        Raises MissingError, and TakenError where it still runs.
        """
        machine = self.store.get(name)
        if force and not machine.over:
            if machine.process is not None:
                machine = self._ended(machine, lambda vm: vm.kill())
            clear_run_dir(machine.run_dir)  # ends what a squib just started in it, too
            self.store.remove(machine.id)
            Belongings(self.store).tidy()
            return machine
        # The folder goes first, so that there is room to write on a full disk; one change, so that nobody starts it meanwhile.
        with self.store.transaction():
            machine = self.check_remove(name)
            clear_run_dir(machine.run_dir)
            self.store.remove(machine.id)
        return machine

    def check_remove(self, name: str) -> Machine:
        """The machine, which has ended. Raises what `remove` would refuse it with."""
        machine = self.store.get(name)
        if not machine.over:
            raise TakenError(f"the machine {name} is {machine.state}", hint=f"squib stop {name}, or squib rm --force {name}")
        return machine

    def _ended(self, machine: Machine, end_it: Callable[[Vm], VmEnd | None]) -> Machine:
        """`machine` as it is after `end_it`, which returns None where it still runs."""
        vm = self._attach(machine)
        if vm is None:
            self.clean()
            found = self.store.find(machine.id)
            if found is not None and found.over:
                return found
            return replace(machine, state=VmState.FAILED, forwards=(), exit_reason="it ended meanwhile")
        with vm:
            end = end_it(vm)
        if end is None:
            return machine
        self.store.exited(machine.id, end.status, end.reason, end.by, process=machine.process)
        Belongings(self.store).tidy()
        found = self.store.find(machine.id)
        if found is not None and found.over:
            return found
        if found is None and end.by is EndedBy.VMM:  # no VMM ends by itself at the moment when its record goes
            end = VmEnd(None, "it was removed meanwhile", EndedBy.FORCE)
        # Its squib in the foreground has cleaned up already, or somebody removed it or started it again.
        state = VmState.EXITED if end.status == 0 else VmState.FAILED
        return replace(machine, state=state, forwards=(), exit_status=end.status, exit_reason=end.reason, ended_by=end.by)

    def _attach(self, machine: Machine) -> Vm | None:
        if machine.process is None:
            return None
        try:
            return self.vmm_for(machine.vmm, machine.accel).attach(machine.process, machine.run_dir)
        except MissingError:
            if alive(machine.process):  # and its VMM is not installed any more, or its folder is gone
                raise
            return None


def with_process(store: Store, machine: Machine, deadline: float) -> Machine:
    """`machine` once its VMM runs, or once it is over; `deadline` is on the monotonic clock.

    Raises TakenError at the deadline, MissingError where it goes.
    """
    while machine.process is None and not machine.over:
        if time.monotonic() >= deadline:
            raise TakenError(f"the machine {machine.name} is still being started", hint="try again in a moment")
        time.sleep(_LOOK_S)
        if machine.owner is None or not alive(machine.owner):
            reconcile(store)
        found = store.find(machine.id)
        if found is None:
            raise MissingError(f"the machine {machine.name} did not start, and is gone", hint="squib ps lists those there are")
        machine = found
    return machine
