"""`squib stop`: gracefully, and at the deadline whatever it takes."""

from __future__ import annotations

import click

from squib.cli.completing import complete_running
from squib.cli.json_output import machine_json, print_json
from squib.cli.run import STOP_S
from squib.cli.seconds import Seconds
from squib.wiring import house

__all__ = ["stop"]


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete_running)
@click.option(
    "--timeout",
    type=Seconds(min=0),
    default=STOP_S,
    show_default=True,
    metavar="SECONDS",
    help="How long the guest has.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the machines as a JSON array.")
def stop(names: tuple[str, ...], timeout: float, as_json: bool) -> None:
    """Stop microVMs gracefully.

    The guest finishes the requests it has and powers off; at the deadline it is ended. One that has ended is left as it is.
    """
    with house().running() as running:
        running.clean()
        for name in names:
            running.store.get(name)  # all names are right, or nothing is stopped
        stopped = [running.ending.stop(name, timeout) for name in dict.fromkeys(names)]
    if as_json:
        print_json([machine_json(machine) for machine in stopped])
        return
    for machine in stopped:
        print(f"{machine.name}: {machine.exit_reason or machine.state}")
