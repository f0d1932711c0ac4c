"""A guest's way out is the user's to give: the option, the question, and what it means.

What an appliance file or a manifest says is a wish: both may be a stranger's.
"""

from __future__ import annotations

import sys

import click

from squib.cli.narrator import say
from squib.host import tty
from squib.model.appliance import Appliance

__all__ = ["may_go_out", "outbound_option", "tell_outbound"]

_MEANS = (
    "connections to whatever this host reaches by its default route, in your name; "
    "not to this host itself, its other networks, other machines, or link-local and metadata addresses"
)

outbound_option = click.option(
    "--outbound/--no-outbound",
    default=None,
    help="Whether the guest may open connections to the outside. Default: no; where the appliance file asks for it, squib run "
    "asks you, if you are at a terminal.",
)


def may_go_out(appliance: Appliance, said: bool | None, *, ask: bool, quiet: bool) -> bool:
    """Whether the guest may open connections: as `said` on the command line, else as the user answers.

    Nobody is asked without `ask` or a terminal; the guest may not then, and where it wants to, the user is told so.
    """
    if said is not None or not appliance.network.outbound:
        return bool(said)
    if ask and tty.ours(0) and sys.stderr.isatty():
        say(f"{appliance.name} asks for {_MEANS}")
        return click.confirm("Allow it?", default=False, err=True)
    if not quiet:
        say(f"warning: {appliance.name} asks to open connections to the outside, and may not: --outbound lets it")
    return False


def tell_outbound(appliance: Appliance) -> None:
    """Says what the user has allowed."""
    say(f"{appliance.name} may open {_MEANS}")
