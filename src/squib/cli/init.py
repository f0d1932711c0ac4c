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

    DIR is the working folder unless named, and is made where it is not there. Nothing is written over a file that is there
    already, or beside a project that squib cannot serve: it says what it found. Where it finds a function that squib can serve,
    it writes the appliance.toml for that.
    """
    if not folder.is_absolute():
        working_folder()  # raises where it was deleted
    written = write_starter(folder, name_for(folder) if name is None else name)
    for path in written:
        print(path)
    where = shlex.quote(str(folder))
    named = "" if folder == Path() else f" {where}"
    test = "" if len(written) == 1 else f", python -m pytest{named} (pip install pytest)"
    print(f"\nNext: squib serve{named}, squib run{named}{test}")
