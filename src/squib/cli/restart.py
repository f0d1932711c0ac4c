"""`squib restart`: the same machine once more."""

from __future__ import annotations

import click

from squib.app.running import Running
from squib.cli.commands import Command
from squib.cli.completing import complete_machines
from squib.cli.endpoints import urls
from squib.cli.named_machines import in_turn, known, machines_json_option, names_argument, stop_timeout_option
from squib.cli.narrator import Narrator, interrupts_told
from squib.errors import SquibError
from squib.store import Machine
from squib.wiring import house

__all__ = ["restart"]


@click.command(cls=Command)
@names_argument(complete_machines)
@stop_timeout_option
@machines_json_option
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but the machines and errors.")
def restart(names: tuple[str, ...], timeout: float, as_json: bool, quiet: bool) -> None:
    """Stop detached microVMs and start them again as they were: same image, keys, size, name and ports.

    One that has ended is started again. Where the new start fails the machine has ended; its console says more.
    """
    with house().running() as running:
        running.clean()
        chosen = known(running, names)
        if len(chosen) > 1:  # one alone is looked at before it is stopped
            for name in chosen:
                running.check_restart(name)
        in_turn(
            chosen,
            lambda name: _once_more(running, name, timeout, quiet=quiet),
            as_json=as_json,
            line=lambda machine: " ".join([machine.name, *urls(machine)]),
        )


def _once_more(running: Running, name: str, timeout: float, *, quiet: bool) -> Machine:
    with interrupts_told(lambda: _left(running, name), quiet=quiet):
        return running.restart(name, timeout, Narrator(quiet=quiet, console=False))


def _left(running: Running, name: str) -> str:
    """How an interrupted restart left the machine: it may not have been stopped yet, or serve already."""
    try:
        machine = running.store.get(name)
    except SquibError:
        return f"squib ps tells what became of {name}"
    return f"{name} is left ended" if machine.over else f"{name} is left as it is: {machine.state}"
