"""`squib restart`: the same machine once more."""

from __future__ import annotations

import click

from squib.cli.completing import complete_machines
from squib.cli.endpoints import urls
from squib.cli.json_output import machine_json, print_json
from squib.cli.narrator import Narrator
from squib.cli.run import STOP_S
from squib.cli.seconds import Seconds
from squib.wiring import house

__all__ = ["restart"]


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete_machines)
@click.option(
    "--timeout",
    type=Seconds(min=0),
    default=STOP_S,
    show_default=True,
    metavar="SECONDS",
    help="How long the guest has to stop.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the machines as a JSON array.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but the machines and errors.")
def restart(names: tuple[str, ...], timeout: float, as_json: bool, quiet: bool) -> None:
    """Stop detached microVMs and start them again as they were: same image, keys, size, name and ports.

    One that has ended is started again. Where the new start fails the machine has ended; its console says more.
    """
    with house().running() as running:
        running.clean()
        for name in names:
            running.store.get(name)  # all names are right, or nothing is stopped
        started = [running.restart(name, timeout, Narrator(quiet=quiet, console=False)) for name in dict.fromkeys(names)]
    if as_json:
        print_json([machine_json(machine) for machine in started])
        return
    for machine in started:
        print(" ".join([machine.name, *urls(machine.forwards)]))
