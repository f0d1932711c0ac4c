"""What a crash left behind: found by comparing the store with the processes there are, and cleaned. Run before each command.

- A foreground run whose squib is gone: its VMM is ended, its folder and its record go.
- A detached machine whose VMM is gone: marked as ended, with its last words where its console has them; its console stays.
- A run folder that nobody knows: what works in it is ended, and it goes.

What a living squib owns is left alone. Two at the same moment do no harm: each step may find its work done.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from squib.errors import SquibError
from squib.host.process import Handle, alive
from squib.store import Machine, Store
from squib.vmm.process_vm import last_words
from squib.vmm.run_dir import clear_run_dir

__all__ = ["Cleaned", "reconcile"]


@dataclass(frozen=True, slots=True)
class Cleaned:
    """One thing that was set right, for people: `name` of the machine (or of the folder), `what` was done."""

    name: str
    what: str


def reconcile(store: Store) -> tuple[Cleaned, ...]:
    """Cleans up. Raises SquibError where something cannot be cleaned."""
    # The folders first: a folder is made after its record and goes before it, so one without a record is nobody's.
    folders = sorted(store.machines_dir.iterdir()) if store.machines_dir.is_dir() else []
    machines = store.list()
    known = {machine.run_dir for machine in machines}
    done = [cleaned for machine in machines if (cleaned := _look_at(store, machine)) is not None]
    for folder in folders:
        if folder not in known:
            clear_run_dir(folder)
            done.append(Cleaned(folder.name, "a run folder without a machine: removed"))
    return tuple(done)


def _look_at(store: Store, machine: Machine) -> Cleaned | None:
    if machine.owner is not None:
        if alive(machine.owner):
            return None
        if machine.process is not None:
            _end(machine)
        clear_run_dir(machine.run_dir)
        store.remove(machine.id)
        return Cleaned(machine.name, "its squib was killed: ended and removed")
    if machine.over or (machine.process is not None and alive(machine.process)):
        return None
    words = None
    with contextlib.suppress(SquibError):  # no console, no words
        words = last_words(machine.run_dir / "console.log")
    if words is None:
        store.exited(machine.id, None, "its VMM was killed")
        return Cleaned(machine.name, "its VMM was killed: marked as failed")
    store.exited(machine.id, words.status, words.reason)
    return Cleaned(machine.name, f"it had ended ({words.reason}): marked so")


def _end(machine: Machine) -> None:
    process = Handle.open(machine.process) if machine.process is not None else None
    if process is not None:
        with process:
            process.end()
