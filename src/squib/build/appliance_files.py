"""All of an installed package that is reached.

A package may read its own data and import its own modules by computed names, so it goes in whole, but for tests, sources in
C, type stubs and byte code of the building machine. Symbolic links are followed for files and not for folders.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from squib.host.files import storage_errors

__all__ = ["package_files", "read"]

_LEFT_OUT_FOLDERS = frozenset({"__pycache__", "test", "tests"})
_LEFT_OUT_SUFFIXES = frozenset({".c", ".cc", ".cpp", ".h", ".hpp", ".pxd", ".pxi", ".pyc", ".pyi", ".pyo", ".pyx"})


def read(path: Path) -> bytes:
    """The content of `path`. Raises MissingError, PermissionDeniedError or HostError."""
    with storage_errors(path):
        return path.read_bytes()


def package_files(folder: Path) -> Iterator[PurePosixPath]:
    """The files of an installed package, relative to `folder`, sorted."""
    for path in _walk(folder):
        if not _LEFT_OUT_FOLDERS.intersection(path.parts[:-1]) and path.suffix not in _LEFT_OUT_SUFFIXES:
            yield path


def _walk(folder: Path) -> Iterator[PurePosixPath]:
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(names):
            path = Path(where, name)
            if path.is_file():
                yield PurePosixPath(path.relative_to(folder).as_posix())
