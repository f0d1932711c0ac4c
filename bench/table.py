"""Tables: for a terminal and for Markdown, from the same cells."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Table(msgspec.Struct, frozen=True):
    """`title` may be empty. The first column is text, the others are numbers, already written out."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def to_terminal(table: Table) -> str:
    """Aligned columns, ended by an empty line."""
    lines = [table.head, *table.rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.head))]
    text = [table.title] if table.title else []
    for line in lines:
        first, *others = (
            cell.ljust(w) if n == 0 else cell.rjust(w) for n, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        text.append("  ".join((first, *others)).rstrip())
    return "\n".join([*text, *([table.note] if table.note else []), ""])


def to_markdown(table: Table) -> str:
    """A table of GitHub's Markdown, ended by an empty line."""
    text = [f"**{table.title}**", ""] if table.title else []
    text.append(f"| {' | '.join(table.head)} |")
    text.append(f"| --- |{' ---: |' * (len(table.head) - 1)}")
    text += [f"| {' | '.join(row)} |" for row in table.rows]
    return "\n".join([*text, *(["", table.note] if table.note else []), ""])
