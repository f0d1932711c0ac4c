"""`squib rm`: forget machines that have ended."""

from __future__ import annotations

import click

from squib.wiring import house

__all__ = ["rm"]


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def rm(names: tuple[str, ...]) -> None:
    """Remove microVMs that have ended, with their logs. One that runs must be stopped first."""
    with house().running() as running:
        running.clean()
        for name in names:
            running.ending.remove(name)
            print(name)
