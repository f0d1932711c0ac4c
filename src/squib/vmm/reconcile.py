"""What a crash left behind: found by comparing the store with the processes there are, and cleaned. Run before each command.

- A foreground run whose squib is gone: its VMM is ended, its folder and its record go.
- A restart whose squib is gone: its VMM is ended and it is marked as failed; what is known of it stays, for another restart.
- A detached machine whose VMM is gone: marked as ended, with its last words where its console has them; its console stays.
  Where the host was restarted since, that is the reason.
- A machine that runs: its console is cut where it has grown long.
- A run folder that nobody knows: what works in it is ended, and it goes.

What a living squib owns is left alone. Two at the same moment do no harm: each step may find its work done.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from squib.errors import SquibError
from squib.host.process import alive, boot_id
from squib.model.machine import EndedBy
from squib.store import Machine, Store
from squib.vmm.base import VmEnd
from squib.vmm.process_vm import last_words
from squib.vmm.run_dir import CONSOLE, clear_run_dir, end_in_run_dir, end_way_out, is_full, open_vmm, rotate_console

__all__ = ["Cleaned", "reconcile"]

_FULL = "its console was full, so its last word is not known"


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
        return None if alive(machine.owner) else _take_over(store, machine)
    if machine.over:
        return None
    console = machine.run_dir / CONSOLE
    if machine.process is not None and alive(machine.process):
        rotate_console(console)
        return None
    end_way_out(machine.run_dir)
    words, full = None, False
    with contextlib.suppress(SquibError):  # no console, no words
        words = last_words(console)
        full = is_full(console)
    if words is None:
        elsewhen = machine.boot_id != boot_id()
        words = (
            VmEnd(None, "the host was restarted", EndedBy.HOST)
            if elsewhen
            else VmEnd(None, _FULL if full else "its VMM was killed")
        )
    store.exited(machine.id, words.status, words.reason, words.by, process=machine.process, overwrite=False)
    return Cleaned(machine.name, f"it had ended ({words.reason}): marked so")


def _take_over(store: Store, machine: Machine) -> Cleaned | None:
    """Ends what a dead squib owned; unless another squib did, and maybe started it again, since it was looked at."""
    with store.transaction():
        if store.find(machine.id) != machine:
            return None
        process = open_vmm(machine.process, machine.run_dir) if machine.process is not None else None
        if process is not None:
            with process:
                process.end()
        if machine.restarts:
            end_in_run_dir(machine.run_dir)
            store.exited(machine.id, None, "its squib was killed while it started it again", EndedBy.FORCE)
            return Cleaned(machine.name, "the squib that started it again was killed: ended")
        clear_run_dir(machine.run_dir)
        store.remove(machine.id)
        return Cleaned(machine.name, "its squib was killed: ended and removed")
