"""A file that is held by a descriptor: it stays that one, whatever others do to its name, and its inode is not used again."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["hold", "is_at"]


@contextlib.contextmanager
def hold(path: Path) -> Iterator[int]:
    """A descriptor (O_PATH) of what is at `path`; a link is not followed. Raises OSError."""
    held = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield held
    finally:
        os.close(held)


def is_at(held: int, path: Path) -> bool:
    """Whether the file that is `held` is at `path`; a link to it is not."""
    try:
        return os.path.samestat(os.fstat(held), path.lstat())
    except OSError:
        return False
