"""`squib stop`: gracefully, and at the deadline whatever it takes."""

from __future__ import annotations

import click

from squib.cli.commands import Command
from squib.cli.completing import complete_running
from squib.cli.named_machines import in_turn, known, machines_json_option, names_argument, stop_timeout_option
from squib.wiring import house

__all__ = ["stop"]


@click.command(cls=Command)
@names_argument(complete_running)
@stop_timeout_option
@machines_json_option
def stop(names: tuple[str, ...], timeout: float, as_json: bool) -> None:
    """Stop microVMs gracefully.

    The guest finishes the requests it has and powers off; at the deadline it is ended. One that has ended is left as it is.
    """
    with house().running() as running:
        running.clean()
        in_turn(
            known(running, names),
            lambda name: running.ending.stop(name, timeout),
            as_json=as_json,
            line=lambda machine: f"{machine.name}: {machine.exit_reason or machine.state}",
        )
