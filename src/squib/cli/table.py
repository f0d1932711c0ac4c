"""Tables for people: on a terminal with a bold head and coloured states, as wide as it is; elsewhere aligned plain text.

The plain form is what scripts and logs see, so it stays as it is; rich costs 0.1 s to import, and only a terminal pays it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from squib.cli.terminal import styled

__all__ = ["print_table"]

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
    if styled(sys.stdout):
        _print_styled(head, rows)
        return
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_styled(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in head:
        table.add_column(Text(name), overflow="fold")  # a long cell goes on below: nothing of it is lost
    for row in rows:
        # Text, because a cell is no markup: it may hold brackets.
        table.add_row(*(Text(cell, style=_style(name, cell)) for name, cell in zip(head, row, strict=True)))
    Console(highlight=False).print(table)


def _style(column: str, cell: str) -> str:
    return _STYLES.get(cell.partition(" ")[0], "") if column == _STATE else ""
