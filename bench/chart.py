"""Charts as SVG, written by hand: the same input gives the same bytes, so git shows when a number has changed, and only then.

A picture stands on a card of its own and follows the reader's colour scheme. Bars are labelled with their numbers, so there is
no axis to read; a thin line over a bar's end goes from the least to the most that was measured. Text is measured nowhere:
labels have room. One colour is squib's, in all charts; what it is compared with is grey.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

import msgspec

from bench.promises import number

_WIDTH, _MARGIN, _LABEL, _VALUE = 760, 24, 190, 104
_BAR, _STEP, _GROUP_GAP = 18, 27, 14
_STYLE = """<style>
.card{fill:#fff;stroke:#d8dee4}.title{fill:#1f2328;font-weight:600;font-size:17px}.text{fill:#1f2328}.soft{fill:#59636e}
.own{fill:#e8590c}.other{fill:#a9b4c0}.range{stroke:#1f2328;stroke-opacity:.55;stroke-width:1.5}.base{stroke:#d8dee4}
.mark{stroke:#59636e;stroke-dasharray:4 3}
.s0{fill:#e8590c}.s1{fill:#f6a04d}.s2{fill:#2a9d8f}.s3{fill:#4d7ea8}.s4{fill:#8d6bb3}.s5{fill:#a9b4c0}.bold{font-weight:600}
@media (prefers-color-scheme:dark){.card{fill:#161b22;stroke:#30363d}.title,.text{fill:#f0f3f6}.soft{fill:#9da7b1}
.own,.s0{fill:#ff8a3d}.other,.s5{fill:#5b6672}.range{stroke:#f0f3f6}.base{stroke:#3d444d}.mark{stroke:#9da7b1}
.s1{fill:#ffc078}.s2{fill:#4cc4b4}.s3{fill:#79a9d1}.s4{fill:#b292d9}}
</style>"""


class Bar(msgspec.Struct, frozen=True):
    """One value; `low` and `high` are the least and the most of which it is the middle, where there are such."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    own: bool = False


class Group(msgspec.Struct, frozen=True):
    """Bars that belong together, under a heading that may be empty."""

    heading: str
    bars: Sequence[Bar]


class Stack(msgspec.Struct, frozen=True):
    """One bar in parts: (what, how much), in the order in which they come."""

    label: str
    parts: Sequence[tuple[str, float]]
    own: bool = False


class Mark(msgspec.Struct, frozen=True):
    """A line across all bars at `value`, with its name above."""

    value: float
    name: str


def bars(
    title: str, says: str, groups: Sequence[Group], unit: str, *, mark: Mark | None = None, label_width: int = _LABEL
) -> str:
    """Horizontal bars on one scale from 0; `label_width` in pixels is the room for the bars' labels."""
    most = max(bar.high or bar.value for group in groups for bar in group.bars)
    scale = (_WIDTH - 2 * _MARGIN - label_width - _VALUE) / (max(most, mark.value if mark else 0) or 1)
    left = _MARGIN + label_width
    y, body = 84.0 if mark is None else 98.0, []
    for group in groups:
        if group.heading:
            body.append(_text(_MARGIN, y + 4, group.heading, "soft"))
            y += _STEP - 6
        top = y
        for bar in group.bars:
            body += _bar(bar, left, y, scale, unit)
            y += _STEP
        body.append(_line("base", left, top - 9, left, y - 9))
        y += _GROUP_GAP
    if mark is not None:
        x = left + mark.value * scale
        body += [_line("mark", x, 72, x, y - _GROUP_GAP - 9), _text(x + 6, 80, mark.name, "soft")]
    return _card(title, says, body, y - _GROUP_GAP + 4)


def stacks(title: str, says: str, rows: Sequence[Stack], unit: str) -> str:
    """Horizontal bars made of parts, on one scale from 0, with a legend; at most six kinds of part."""
    kinds = list(dict.fromkeys(what for row in rows for what, _ in row.parts))
    most = max(sum(value for _, value in row.parts) for row in rows)
    scale = (_WIDTH - 2 * _MARGIN - _LABEL - _VALUE) / (most or 1)
    y, body = 88.0, []
    for row in rows:
        x = float(_MARGIN + _LABEL)
        body.append(_text(_MARGIN, y + 5, row.label, "text bold" if row.own else "text"))
        for what, value in row.parts:
            width = value * scale
            body.append(_rect(f"s{kinds.index(what)}", x, y, max(width - 1, 0.5)))
            x += width
        body.append(_text(x + 8, y + 5, number(sum(value for _, value in row.parts), unit), "text"))
        y += _STEP + 4
    x, y = float(_MARGIN), y + 6
    for index, what in enumerate(kinds):
        room = 30 + 7.6 * len(what)
        if x + room > _WIDTH - _MARGIN:
            x, y = float(_MARGIN), y + 22
        body.append(f'<rect class="s{index}" x="{_n(x)}" y="{_n(y - 9)}" width="11" height="11" rx="2"/>')
        body.append(_text(x + 17, y + 1, what, "soft"))
        x += room
    return _card(title, says, body, y + 22)


def _bar(bar: Bar, x: float, y: float, scale: float, unit: str) -> list[str]:
    width = max(bar.value * scale, 1)
    found = [
        _text(_MARGIN, y + 5, bar.label, "text bold" if bar.own else "text"),
        _rect("own" if bar.own else "other", x, y, width),
    ]
    end = width
    if bar.low is not None and bar.high is not None and bar.high > bar.low:
        end = max(bar.high * scale, width)
        found.append(_line("range", x + bar.low * scale, y, x + bar.high * scale, y))
    found.append(_text(x + end + 8, y + 5, number(bar.value, unit), "text bold" if bar.own else "text"))
    return found


def _card(title: str, says: str, body: Sequence[str], height: float) -> str:
    size = f'width="{_WIDTH}" height="{_n(height)}"'
    font = 'font-family="system-ui,-apple-system,Segoe UI,Helvetica,Arial,sans-serif" font-size="13"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {_WIDTH} {_n(height)}" role="img" {font}>',
        f"<title>{escape(title)}</title>",
        _STYLE,
        f'<rect class="card" x=".5" y=".5" width="{_WIDTH - 1}" height="{_n(height - 1)}" rx="8"/>',
        _text(_MARGIN, 34, title, "title"),
        _text(_MARGIN, 54, says, "soft"),
        *body,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}"/>'


def _rect(kind: str, x: float, y: float, width: float) -> str:
    return f'<rect class="{kind}" x="{_n(x)}" y="{_n(y - _BAR / 2)}" width="{_n(width)}" height="{_BAR}" rx="2"/>'


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{_n(x)}" y="{_n(y)}">{escape(text)}</text>'


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
