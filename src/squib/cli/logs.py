"""`squib logs`: what a machine's console has said: the kernel, PID 1, and the server's log."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import click

from squib.app.logs import Selection, follow, recorded
from squib.app.passages import Line, Passage
from squib.cli.commands import Command
from squib.cli.completing import complete_machines
from squib.cli.escaping import json_text, visible
from squib.cli.json_output import time_text
from squib.cli.param_types import Whole
from squib.cli.terminal import pass_on
from squib.wiring import house

__all__ = ["Moment", "logs"]

_DURATION = re.compile(r"(?:[0-9]{1,9}[smhd])+")
_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d)?)?", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Moment(click.ParamType[float]):
    """A time, or how long ago; becomes Unix time. A time without a zone is UTC, as in the server's lines."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """As click has it."""
        text = str(value)
        moment = _ago(text) if _DURATION.fullmatch(text) else _at(text)
        if moment is None:
            self.fail(f"{text!r} is neither a duration, as 10m or 2h, nor a time, as 2026-11-24T03:00:00Z.", param, ctx)
        return moment


def _ago(text: str) -> float:
    return time.time() - sum(int(part[:-1]) * _SECONDS[part[-1]] for part in re.findall(r"[0-9]+[smhd]", text))


def _at(text: str) -> float | None:
    if not _TIME.fullmatch(text):
        return None
    try:
        when = datetime.fromisoformat(text)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):  # no such day
        return None


@click.command(cls=Command)
@click.argument("name", metavar="NAME", shell_complete=complete_machines)
@click.option("-f", "--follow", "following", is_flag=True, help="Go on until the machine has ended; Ctrl-C stops it.")
@click.option("--since", type=Moment(), metavar="TIME", help="Only from then on: 10m, 1h30m, or 2026-11-24T03:00:00Z.")
@click.option("-n", "--tail", "newest", type=Whole(0, 1_000_000_000), metavar="N", help="Only the last N lines.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each line.")
def logs(name: str, following: bool, since: float | None, newest: int | None, as_json: bool) -> None:
    """Print what a microVM's console has said since it was started last: its kernel, PID 1, and its server's log.

    A console that has grown long keeps its newest lines only. Those of a machine that has ended are there until `squib rm`.

    Only the server's lines tell their time; for --since every other belongs to the last such line before it.
    """
    wanted = Selection(since, newest)
    with house().running() as running:
        running.clean()
        machine = running.store.get(name)
        _print(follow(running.store, machine, wanted) if following else recorded(machine, wanted), following, as_json)


def _print(passages: Iterable[Passage], following: bool, as_json: bool) -> None:
    show = _as_json if as_json else _as_text if sys.stdout.isatty() else _as_it_is
    for passage in passages:
        pass_on(show(passage), at_once=following)


def _as_it_is(passage: Passage) -> bytes:
    return passage.raw


def _as_text(passage: Passage) -> bytes:
    return visible(passage.raw).encode(sys.stdout.encoding, "backslashreplace")


def _as_json(passage: Passage) -> bytes:
    return b"".join(map(_line_as_json, passage.lines()))


def _line_as_json(line: Line) -> bytes:
    stamp = None if line.at is None or not line.own_time else time_text(round(line.at * 1000))
    text = line.raw.rstrip(b"\r\n").decode("utf-8", "replace")
    return json_text({"time": stamp, "source": line.source.value, "text": text}, indent=None).encode() + b"\n"
