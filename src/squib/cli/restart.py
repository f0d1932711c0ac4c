"""`squib restart`: the same machine once more."""

from __future__ import annotations

import click

from squib.cli.completing import complete_machines
from squib.cli.endpoints import urls
from squib.cli.json_output import machine_json, print_json
from squib.cli.named_machines import known, machines_json_option, names_argument, stop_timeout_option
from squib.cli.narrator import Narrator
from squib.wiring import house

__all__ = ["restart"]


@click.command()
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
        started = [running.restart(name, timeout, Narrator(quiet=quiet, console=False)) for name in known(running, names)]
    if as_json:
        print_json([machine_json(machine) for machine in started])
        return
    for machine in started:
        print(" ".join([machine.name, *urls(machine)]))
