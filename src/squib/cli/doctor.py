"""`squib doctor`: what this machine needs and has, with a remedy for each thing that is missing.

Imports nothing that needs more than click: a package that is missing is to be told, not to be met.
"""

from __future__ import annotations

import click

from squib.app.doctor import examine
from squib.cli.checks import exit_code, print_checks
from squib.cli.commands import Command
from squib.cli.progress import progress

__all__ = ["doctor"]


@click.command(cls=Command)
@click.option("--retry", is_flag=True, help="Forget what is known of KVM here, and try it anew.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
def doctor(retry: bool, as_json: bool) -> int:
    """Look at everything that this machine needs and has.

    What is missing or could be better comes with a command to paste. Exits with 69 where something that squib needs is
    missing. Nothing is installed or changed; KVM is tried by booting a kernel in it, once for each boot of this machine.
    """
    with progress(quiet=as_json) as report:
        report("looking at this machine", None)
        rows = list(examine(retry=retry))
    print_checks(
        rows, as_json=as_json, all_there="Everything that squib needs is here.", missing="squib needs what is missing here"
    )
    return exit_code(rows)
