"""Tables for people: on a terminal with a bold head and coloured states, as wide as it is; elsewhere aligned plain text.

The plain form is what scripts and logs see, so it stays as it is; rich costs 0.1 s to import, and only a terminal pays it.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from squib.cli.escaping import one_line
from squib.cli.terminal import console, styled

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["print_table"]

_GAP, _BELOW = "  ", "    "
_STATE = "STATE"
_STYLES = {
    "running": "green", "ok": "green",
    "starting": "yellow", "stopping": "yellow", "warning": "yellow",
    "failed": "bold red", "missing": "bold red",
    "exited": "dim",
}  # fmt: skip
"""How a cell of the column STATE looks, by its first word."""


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints `rows` below `head`."""
    rows = [tuple(map(one_line, row)) for row in rows]
    if styled(sys.stdout):
        _print_styled(head, rows)
        return
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_styled(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    out = console(sys.stdout)
    widths = [max(map(len, column)) + len(_GAP) for column in zip(head, *rows, strict=True)]
    left = out.width - sum(widths[:-1])
    longest = max(len(word) for row in [head, *rows] for word in row[-1].split() or [""])
    if longest > left >= -len(_GAP):
        _print_last_below(out, head, rows)
    else:  # where nothing can stay whole, at least nothing is lost
        out.print(_table(head, rows))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, len(_GAP), 0, 0), header_style="bold")
    for name in head:
        table.add_column(Text(name), overflow="fold")  # a long cell goes on below: nothing of it is lost
    for row in rows:
        # Text, because a cell is no markup: it may hold brackets.
        table.add_row(*(Text(cell, style=_style(name, cell)) for name, cell in zip(head, row, strict=True)))
    return table


def _print_last_below(out: Console, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """The last cell of each row in lines of its own, where a word of it, as a URL, would not stay whole beside the others."""
    from rich.text import Text

    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)][:-1]
    for number, row in enumerate([head, *rows]):
        style = "bold" if number == 0 else ""
        line = Text(_GAP).join(
            Text(cell.ljust(width), style=style or _style(name, cell))
            for name, cell, width in zip(head, row, widths, strict=False)
        )
        line.rstrip()
        out.print(line, soft_wrap=True)
        for below in textwrap.wrap(row[-1], out.width - len(_BELOW), break_long_words=False, break_on_hyphens=False):
            out.print(Text(_BELOW + below, style=style), soft_wrap=True)


def _style(column: str, cell: str) -> str:
    return _STYLES.get(cell.partition(" ")[0], "") if column == _STATE else ""
