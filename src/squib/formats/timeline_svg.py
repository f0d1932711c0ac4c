"""A boot's timeline as a picture: a bar for each phase, one below the other, on one axis of milliseconds."""

from __future__ import annotations

import math
from collections.abc import Iterator

from squib.formats.svg import document, element, text
from squib.model.boot import Phase, Timeline

__all__ = ["timeline_svg"]

_WIDTH, _LEFT, _RIGHT, _TOP, _ROW, _BAR = 860.0, 84.0, 76.0, 56.0, 30.0, 16.0
_COLOURS = {
    "vmm": "#8c959f", "kernel": "#0969da", "initrd": "#54aeff", "python": "#bf8700",
    "init": "#2da44e", "imports": "#8250df", "listening": "#bf3989", "answer": "#cf222e",
}  # fmt: skip
_GREY = "#57606a"
_LABEL_WIDTH = 6.2
"""How wide a character is, about."""


def timeline_svg(timeline: Timeline, title: str, subtitle: str) -> str:
    """The picture; `title` and `subtitle` say what was booted, where, and how long it took."""
    height = _TOP + len(timeline.phases) * _ROW + 34
    return document(_WIDTH, height, title, _parts(timeline, title, subtitle))


def _parts(timeline: Timeline, title: str, subtitle: str) -> Iterator[str]:
    yield text(12.0, 22.0, title, font_size=15, font_weight="bold")
    yield text(12.0, 40.0, subtitle, fill=_GREY)
    scale = (_WIDTH - _LEFT - _RIGHT) / max(timeline.end_ms, 1.0)
    bottom = _TOP + len(timeline.phases) * _ROW
    for at_ms in _ticks(timeline.end_ms):
        x = _LEFT + at_ms * scale
        yield element("line", x1=x, y1=_TOP, x2=x, y2=bottom, stroke="#d0d7de")
        yield text(x, bottom + 18, f"{at_ms:g} ms", fill=_GREY, text_anchor="middle", font_size=11)
    for row, phase in enumerate(timeline.phases):
        yield from _row(phase, _TOP + row * _ROW, scale)


def _row(phase: Phase, y: float, scale: float) -> Iterator[str]:
    x, width = _LEFT + phase.begin_ms * scale, max(phase.takes_ms * scale, 1.0)
    colour = _COLOURS.get(phase.name, _GREY)
    yield text(12.0, y + 20, phase.name)
    tip = element("title", f"{phase.what}: {phase.begin_ms:.0f} to {phase.end_ms:.0f} ms")
    yield element("rect", tip, x=x, y=y + 8, width=width, height=_BAR, rx=2, fill=colour)
    for step in phase.steps[:-1]:
        end = _LEFT + step.end_ms * scale
        yield element("line", x1=end, y1=y + 8, x2=end, y2=y + 8 + _BAR, stroke="#ffffff")
    label = f"{phase.takes_ms:.0f} ms"
    right = x + width + 6
    if right + len(label) * _LABEL_WIDTH > _WIDTH:
        yield text(x - 6, y + 20, label, text_anchor="end")
    else:
        yield text(right, y + 20, label)


def _ticks(end_ms: float) -> list[float]:
    """About six round numbers from 0 on."""
    raw = max(end_ms, 1.0) / 6
    power: float = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    return [index * step for index in range(int(end_ms / step) + 1)]
