"""`squib rm`: forget machines that have ended."""

from __future__ import annotations

import contextlib

import click

from squib.app.running import Running
from squib.cli.commands import Command
from squib.cli.completing import complete_machines
from squib.cli.json_output import machine_json, print_json
from squib.cli.named_machines import known
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
        removed = [running.ending.remove(name, force=force) for name in known(running, names)]
        if all_ended:
            removed += _all_ended(running)
    if as_json:
        print_json([machine_json(machine) for machine in removed])
        return
    for machine in removed:
        print(machine.name)


def _all_ended(running: Running) -> list[Machine]:
    removed = []
    for machine in running.store.list():
        if machine.over:
            with contextlib.suppress(MissingError, TakenError):  # removed or started again meanwhile
                removed.append(running.ending.remove(machine.name))
    return removed
