"""How long work tells what it is doing: a function that the caller gives and that prints, or not."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Note", "Progress", "silent"]


class Note(str):
    """In the place of a step: what a person is to read, also when the work is over."""

    __slots__ = ()


Progress = Callable[[str, float | None], None]
"""Called with a step in words ("writing rootfs.ext4"), and how much of it is done: 0.0 to 1.0, None where nobody can say."""


def silent(step: str, done: float | None) -> None:
    """Says nothing."""
