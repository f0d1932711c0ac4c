"""`squib init`: an appliance to start from."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from squib.app.starter import name_for, write_starter
from squib.cli.commands import Command
from squib.host.files import working_folder

__all__ = ["init"]


@click.command(cls=Command)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path(), metavar="[DIR]")
@click.option("--name", metavar="NAME", help="The appliance's name. Default: made from the folder's.")
def init(folder: Path, name: str | None) -> None:
    """Write an appliance to start from: appliance.toml, app.py and test_app.py.

    DIR is the working folder unless named, and is made where it is not there. A file that is there already is never
    overwritten: then nothing is written at all.
    """
    if not folder.is_absolute():
        working_folder()  # raises where it was deleted
    for path in write_starter(folder, name_for(folder) if name is None else name):
        print(path)
    where = shlex.quote(str(folder))
    named = "" if folder == Path() else f" {where}"
    print(f"\nNext: squib serve{named}, squib run{named}, python -m pytest{named} (pip install pytest)")
