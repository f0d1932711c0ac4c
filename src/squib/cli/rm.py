"""`squib rm`: forget machines that have ended."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import click

from squib.app.running import Running
from squib.cli.commands import Command
from squib.cli.completing import complete_machines
from squib.cli.named_machines import in_turn, known
from squib.errors import MissingError, TakenError, UsageError
from squib.store import Machine
from squib.wiring import house

__all__ = ["rm"]


@click.command(cls=Command)
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_machines)
@click.option("-f", "--force", is_flag=True, help="End those that run first, at once.")
@click.option("--all-ended", is_flag=True, help="Remove all that have ended.")
@click.option("--json", "as_json", is_flag=True, help="Print the removed machines as a JSON array.")
def rm(names: tuple[str, ...], force: bool, all_ended: bool, as_json: bool) -> None:
    """Remove microVMs that have ended, with their logs. One that runs must be stopped first, or --force ends it."""
    if not names and not all_ended:
        raise UsageError("which machines?", hint="squib rm NAME..., or squib rm --all-ended; squib ps lists them")
    with house().running() as running:
        running.clean()
        chosen = known(running, names)
        if not force:
            for name in chosen:
                running.ending.check_remove(name)
        rest = _ended(running, chosen) if all_ended else ()

        def remove(name: str) -> Machine | None:
            if name in chosen:
                return running.ending.remove(name, force=force)
            with contextlib.suppress(MissingError, TakenError):  # removed or started again meanwhile
                return running.ending.remove(name)
            return None

        in_turn((*chosen, *rest), remove, as_json=as_json, line=lambda machine: machine.name)


def _ended(running: Running, but: Sequence[str]) -> tuple[str, ...]:
    return tuple(machine.name for machine in running.store.list() if machine.over and machine.name not in but)
