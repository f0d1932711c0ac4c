"""Files that go in as they are: the appliance's `include`. Symbolic links are followed for files and not for folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from squib.errors import ApplianceError
from squib.host.files import storage_errors
from squib.model.appliance import Appliance

__all__ = ["included", "read"]


def read(path: Path) -> bytes:
    """The content of `path`. Raises MissingError, PermissionDeniedError or HostError."""
    with storage_errors(path):
        return path.read_bytes()


def included(appliance: Appliance) -> Iterator[tuple[PurePosixPath, Path]]:
    """Files of `[image] include`: their place below /app, and where they lie. Raises ApplianceError."""
    for entry in dict.fromkeys(appliance.image.include):
        relative = PurePosixPath(entry)
        path = appliance.folder / entry
        if relative.is_absolute() or ".." in relative.parts or not relative.parts:
            raise _wrong(appliance, entry, "must be a path below the appliance's folder")
        if not path.exists():
            raise _wrong(appliance, entry, f"is not in {appliance.folder}")
        if not path.resolve().is_relative_to(appliance.folder.resolve()):
            raise _wrong(appliance, entry, "is a link that leaves the appliance's folder")
        if path.is_file():
            yield relative, path
        for below in _walk(path) if path.is_dir() else ():
            target = path / below
            if not target.resolve().is_relative_to(appliance.folder.resolve()):
                raise _wrong(appliance, f"{entry}/{below}", "is a link that leaves the appliance's folder")
            yield relative / below, target


def _walk(folder: Path) -> Iterator[PurePosixPath]:
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(names):
            path = Path(where, name)
            if path.is_file():
                yield PurePosixPath(path.relative_to(folder).as_posix())


def _wrong(appliance: Appliance, entry: str, what: str) -> ApplianceError:
    return ApplianceError(
        f"{appliance.name}: image.include: {entry} {what}", hint="name files and folders relative to the appliance file"
    )
