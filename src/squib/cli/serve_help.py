"""The verb `serve` for the list of verbs. It never runs: `squib.__main__` takes `serve` before click is imported."""

from __future__ import annotations

from typing import ClassVar, NoReturn

import click

from squib.cli.completing import ApplianceCommand, complete_appliance
from squib.cli.serve import serve as become_server

__all__ = ["serve"]


class _Serve(ApplianceCommand):
    passed_on: ClassVar[tuple[str, ...]] = ("help", "ips", "logs", "socket")


@click.command(cls=_Serve, context_settings={"help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, shell_complete=complete_appliance)
def serve(arguments: tuple[str, ...]) -> NoReturn:
    """Serve an appliance as a plain process."""
    become_server(arguments)
