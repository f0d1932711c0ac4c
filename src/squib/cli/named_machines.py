"""What the verbs for machines that are there have in common: their names, how long one may take to stop, and JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click
from click.shell_completion import CompletionItem

from squib.app.running import Running
from squib.cli.param_types import Seconds

__all__ = ["STOP_S", "known", "machines_json_option", "names_argument", "stop_timeout_option"]

STOP_S = 15.0
"""Seconds that a guest has to stop: PID 1 gives its server 12."""

_Command = TypeVar("_Command", bound=Callable[..., object])
_Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

stop_timeout_option = click.option(
    "--timeout",
    type=Seconds(0),
    default=STOP_S,
    show_default=True,
    metavar="SECONDS",
    help="How long the guest has to stop.",
)

machines_json_option = click.option("--json", "as_json", is_flag=True, help="Print the machines as a JSON array.")


def names_argument(complete: _Complete) -> Callable[[_Command], _Command]:
    """`names`: one machine or more, of those that `complete` offers."""
    return click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete)


def known(running: Running, names: tuple[str, ...]) -> tuple[str, ...]:
    """`names`, each once. Raises MissingError where one is nobody's: all are right, or nothing is done."""
    for name in names:
        running.store.get(name)
    return tuple(dict.fromkeys(names))
