"""A file that is held by a descriptor: it stays that one, whatever others do to its name, and its inode is not used again."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["HeldFile", "hold", "is_at", "link_held"]


class HeldFile:
    """A file that was opened for reading, and stays open for as long as somebody refers to this."""

    __slots__ = ("_descriptor",)

    def __init__(self, file: io.FileIO) -> None:
        """Holds `file`, which may be closed then."""
        self._descriptor = -1
        self._descriptor = os.dup(file.fileno())

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)


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


def link_held(held: int, target: Path) -> None:
    """Gives the file that is `held` the further name `target`. Raises OSError, as where that is on another file system."""
    # Given a descriptor of any folder, Python calls linkat(2) with AT_SYMLINK_FOLLOW: so a descriptor is linked (open(2)).
    os.link(f"/proc/self/fd/{held}", target, src_dir_fd=held, follow_symlinks=True)
