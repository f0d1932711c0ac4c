"""A file that is held by a descriptor: it stays that one, whatever others do to its name, and its inode is not used again."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["HeldFile", "hold", "is_at", "is_locked", "link_held", "lock_shared"]


class HeldFile:
    """A file or a folder that stays open for as long as somebody refers to this."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        """Takes `descriptor` over."""
        self._descriptor = descriptor

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def __del__(self) -> None:
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


def lock_shared(folder: Path) -> HeldFile:
    """`folder`, locked (flock(2)) for as long as somebody refers to this; others may lock it so too. Raises OSError."""
    held = HeldFile(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    with contextlib.suppress(OSError):  # a file-system without locks
        fcntl.flock(held.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
    return held


def is_locked(folder: Path) -> bool:
    """Whether somebody has `folder` locked, by `lock_shared` or otherwise."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def link_held(held: int, target: Path) -> None:
    """Gives the file that is `held` the further name `target`. Raises OSError, as where that is on another file system."""
    # Given a descriptor of any folder, Python calls linkat(2) with AT_SYMLINK_FOLLOW: so a descriptor is linked (open(2)).
    os.link(f"/proc/self/fd/{held}", target, src_dir_fd=held, follow_symlinks=True)
