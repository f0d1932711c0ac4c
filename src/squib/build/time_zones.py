"""The time zone database of the building machine, for appliances that ask for a time zone.

zoneinfo and the C library (tzset) look in one folder. What is left out: the copies that count leap seconds (`right`), those
that are the same once more (`posix`), and links that lead out, as that to the building machine's own zone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from squib.model.tree import Entry, File, Symlink

__all__ = ["DISTRIBUTION", "FOLDER", "entries", "version"]

FOLDER = "/usr/share/zoneinfo"
DISTRIBUTION = "tzdata"
"""The Python distribution of the same files; where it is installed, they come from it."""

_WHY = "time zones, for zoneinfo and tzset"
_LEFT_OUT = frozenset({"posix", "right"})
_MAX_LINE = 100


def entries(read: Callable[[Path], bytes], folder: Path = Path(FOLDER)) -> Iterator[Entry]:
    """Its files; none where this machine has no database."""
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - _LEFT_OUT)
        for name in sorted(names):
            path = Path(where, name)
            target = f"{FOLDER}/{path.relative_to(folder).as_posix()}"
            if path.is_symlink():
                link = os.readlink(path)  # noqa: PTH115 - as it is written
                inside = Path(os.path.normpath(path.parent / link))
                if not link.startswith("/") and inside.is_relative_to(folder) and inside.is_file():
                    yield Symlink(target, link, _WHY)
            elif path.is_file():
                yield File(target, read(path), why=_WHY)


def version(folder: Path = Path(FOLDER)) -> str:
    """As `2026a`; empty where it does not say (tzdata.zi begins with `# version 2026a`)."""
    try:
        with (folder / "tzdata.zi").open(encoding="utf-8", errors="replace") as file:
            words = file.readline(_MAX_LINE).split()
    except OSError:
        return ""
    return words[2] if words[:2] == ["#", "version"] and len(words) == 3 else ""
