"""What the verbs for machines that are there have in common: their names, how long one may take to stop, and JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

import click
from click.shell_completion import CompletionItem

from squib.app.running import Running
from squib.cli.json_output import machine_json, print_json
from squib.cli.param_types import Seconds
from squib.store import Machine

__all__ = ["STOP_S", "in_turn", "known", "machines_json_option", "names_argument", "stop_timeout_option"]

STOP_S: float = 15
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


def in_turn(
    names: Sequence[str], act: Callable[[str], Machine | None], *, as_json: bool, line: Callable[[Machine], str]
) -> tuple[Machine, ...]:
    """`act` on each, and `line` of what it gives printed, or all as JSON.

    What can be refused is to be refused before. Where one fails all the same, those before it are told.
    """
    done: list[Machine] = []
    try:
        for name in names:
            if (machine := act(name)) is not None:
                done.append(machine)  # noqa: PERF401 - what was done is kept where the next one fails
    finally:
        if as_json and (done or sys.exc_info()[0] is None):
            print_json([machine_json(machine) for machine in done])
        elif not as_json:
            for machine in done:
                print(line(machine))
    return tuple(done)
