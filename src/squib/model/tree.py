"""A root file-system (or an initrd) as a value: what is in it and why, before anything is written.

Paths are absolute with no `.` or `..`; every parent is an entry of its own; entries are sorted by path, so that equal trees
are equal values. Owner is always 0:0 and times are always 0: nothing of the building machine gets in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Device", "Directory", "Entry", "File", "RootfsTree", "Symlink", "has_control_character"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Directory:
    """A folder; `mode` is the permission bits only."""

    path: str
    mode: int = 0o755
    why: str = ""


@dataclass(frozen=True, slots=True)
class File:
    """A regular file with its whole content."""

    path: str
    data: bytes
    mode: int = 0o644
    why: str = ""


@dataclass(frozen=True, slots=True)
class Symlink:
    """A symbolic link; `target` as it will be written."""

    path: str
    target: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """A character device node."""

    path: str
    major: int
    minor: int
    mode: int = 0o600
    why: str = ""


Entry = Directory | File | Symlink | Device


@dataclass(frozen=True, slots=True)
class RootfsTree:
    """Sorted, closed under parents, no path twice. Make one with `of`."""

    entries: tuple[Entry, ...]

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> RootfsTree:
        """A tree of `entries` and the folders above them. Raises ValueError for a bad or a repeated path."""
        by_path: dict[str, Entry] = {}
        for entry in entries:
            parts = entry.path.split("/")
            if parts[0] or len(parts) < 2 or any(part in {"", ".", ".."} for part in parts[1:]) or "\0" in entry.path:
                raise ValueError(f"not a clean absolute path: {entry.path!r}")
            if entry.path in by_path:
                raise ValueError(f"twice in the tree: {entry.path}")
            by_path[entry.path] = entry
        for path in list(by_path):
            parent = path.rpartition("/")[0]
            while parent and parent not in by_path:
                by_path[parent] = Directory(parent, why="holds what is below")
                parent = parent.rpartition("/")[0]
            if parent and not isinstance(by_path[parent], Directory):
                raise ValueError(f"{parent} is not a folder, and {path} is below it")
        return cls(tuple(by_path[path] for path in sorted(by_path)))

    @property
    def total_bytes(self) -> int:
        """Bytes in all files."""
        return sum(len(entry.data) for entry in self.entries if isinstance(entry, File))


def has_control_character(path: str) -> bool:
    """Whether `path` has a control character of ASCII: an image takes none in a name, so that all its forms are alike."""
    return _CONTROL.search(path) is not None
