"""How long something took or has been, for people: one number and one unit."""

from __future__ import annotations

__all__ = ["duration"]


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h`, `2 d`, rounded down; a clock that went back gives `0 s`."""
    whole = max(0, int(seconds))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if whole >= size:
            return f"{whole // size} {unit}"
    return f"{whole} s"
