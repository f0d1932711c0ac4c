"""What `importlib.metadata` reads of an installed distribution: its metadata and its entry points.

The rule: a distribution is told by its files, as its RECORD lists them; where it has none (Debian's packages), by its name.
RECORD itself stays out, as it tells of files that do not go in.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

from squib.build.module_finder import Module

__all__ = ["READERS", "dist_info_files"]

READERS = frozenset({"importlib.metadata", "importlib_metadata"})
"""Modules that read it: without one of them nobody asks."""

_FILES = ("METADATA", "entry_points.txt")


def dist_info_files(
    modules: tuple[Module, ...], folders: tuple[Path, ...], read: Callable[[Path], bytes]
) -> Iterator[tuple[Path, Module]]:
    """The files that go in, sorted within each of `folders`, with the first of the installed `modules` that they are about."""
    sources = {module.source: module for module in modules if module.source is not None}
    for folder in folders:
        for info in sorted(folder.glob("*.dist-info")):
            module = next((sources[path] for path in _modules_of(info, read) if path in sources), None)
            for path in (info / name for name in _FILES):
                if module is not None and path.is_file():
                    yield path, module


def _modules_of(info: Path, read: Callable[[Path], bytes]) -> Iterator[Path]:
    """Files of Python code that the distribution has, or may have."""
    record = info / "RECORD"
    if record.is_file():
        for row in csv.reader(read(record).decode(errors="replace").splitlines()):
            yield from (info.parent / name for name in row[:1])
    else:
        name = info.name.partition("-")[0].lower()  # as modules are called: jinja2, of Jinja2
        yield from (info.parent / name / "__init__.py", info.parent / f"{name}.py")
