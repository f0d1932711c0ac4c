"""A boot's timeline for people: a table with a bar in each row; with colours on a terminal, with `#` elsewhere."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from squib.cli.terminal import console, styled
from squib.model.boot import Phase, Step, Timeline

__all__ = ["print_timeline"]

_COLOURS = {
    "vmm": "bright_black", "kernel": "blue", "initrd": "cyan", "python": "yellow",
    "init": "green", "imports": "magenta", "listening": "bright_magenta", "answer": "red",
}  # fmt: skip
_BEFORE_BAR = 38
_PLAIN_WIDTH = 40
_LEAST_WIDTH = 10


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    begin: str
    takes: str
    bar: str
    colour: str


def print_timeline(timeline: Timeline) -> None:
    """Prints the phases, and below each the steps that it has."""
    if not styled(sys.stdout):
        print(f"{'PHASE':14} {'BEGINS':>10} {'TAKES':>10}")
        for row in _rows(timeline, _PLAIN_WIDTH, "#"):
            print(f"{row.name:14} {row.begin:>10} {row.takes:>10}  {row.bar}".rstrip())
        return
    from rich.text import Text

    out = console(sys.stdout)
    width = max(_LEAST_WIDTH, min(100, shutil.get_terminal_size().columns) - _BEFORE_BAR)
    out.print(Text(f"{'PHASE':14} {'BEGINS':>10} {'TAKES':>10}", style="bold"))
    for row in _rows(timeline, width, "█"):
        dim = "" if row.bar else "dim"
        line = Text(f"{row.name:14} {row.begin:>10} {row.takes:>10}  ", style=dim)
        line.append(row.bar, style=row.colour)
        out.print(line)


def _rows(timeline: Timeline, width: int, block: str) -> Iterator[_Row]:
    for phase in timeline.phases:
        yield _row(phase, phase.name, _bar(phase, timeline.end_ms, width, block), _COLOURS.get(phase.name, ""))
        for step in phase.steps:
            yield _row(step, f"  {step.name}", "", "")


def _row(step: Step, name: str, bar: str, colour: str) -> _Row:
    return _Row(name, f"{step.begin_ms:.0f} ms", f"{step.takes_ms:.0f} ms", bar, colour)


def _bar(phase: Phase, end_ms: float, width: int, block: str) -> str:
    """At least one block, so that the eye finds every phase."""
    scale = width / max(end_ms, 1.0)
    begin = min(round(phase.begin_ms * scale), width - 1)
    return " " * begin + block * max(1, round(phase.end_ms * scale) - begin)
