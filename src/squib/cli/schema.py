"""`squib schema`: what may stand in an appliance file, for editors."""

from __future__ import annotations

import click

from squib.cli.commands import Command
from squib.cli.json_output import print_json
from squib.wire.appliance_schema import appliance_schema

__all__ = ["schema"]

# \b keeps click from joining the lines of a paragraph.
_HELP = """Print the JSON Schema of the appliance file.

An editor with taplo or Even Better TOML completes and checks the file by it:

\b
  squib schema > appliance.schema.json

and as the first line of appliance.toml:

\b
  #:schema ./appliance.schema.json
"""


@click.command(cls=Command, help=_HELP)
def schema() -> None:
    """See `_HELP`."""
    print_json(appliance_schema())
