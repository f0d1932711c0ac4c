"""How a build reads files: those of this machine as they are, the appliance's own as files from outside.

Of the appliance's folder only what lies beneath it is read, whatever its links say, and in bounds (docs/limits.md).
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path, PurePosixPath

from squib.errors import ApplianceError, MissingError, SquibError, StorageError
from squib.host.untrusted import Bounds, Folder, read_file, read_open

__all__ = ["BOUNDS", "MAX_MODULE_BYTES", "AppFolder", "read"]

MAX_MODULE_BYTES = 1 << 20
"""Of a module's source: compiling takes up to some hundred times as much memory."""

BOUNDS = Bounds(entries=50_000, total_bytes=1 << 30, depth=64)
"""Of all that is taken from the folder together; a build holds the content in memory."""


def read(path: Path) -> bytes:
    """The content of `path`, a file of this machine. Raises MissingError, ApplianceError and their like."""
    return read_file(path, max_bytes=BOUNDS.total_bytes, follow=True)


class AppFolder:
    """Reads the files of an appliance. `closed`: one of those read so far is not for other users to read."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.closed = False
        self._bytes = 0

    def holds(self, path: Path) -> bool:
        """Whether `path` lies in the folder, going by names."""
        return path.is_relative_to(self.folder.path)

    def names(self, path: Path) -> frozenset[str]:
        """What is in the folder `path`; nothing where that is none, or leads out. Raises ApplianceError."""
        name = PurePosixPath(path.relative_to(self.folder.path))
        try:
            status = self.folder.status(name, follow=True)
        except SquibError:
            return frozenset()
        if not stat.S_ISDIR(status.st_mode):
            return frozenset()
        return frozenset(self.folder.names(name, max_entries=BOUNDS.entries, follow=True))

    def check(self, path: Path) -> None:
        """Raises ApplianceError where `path` is a link that leaves the folder."""
        with contextlib.suppress(MissingError, StorageError):  # it leads to nothing
            self.folder.status(PurePosixPath(path.relative_to(self.folder.path)), follow=True)

    def content(self, path: Path) -> bytes:
        """The content of a module or library: in the folder as a file from outside, elsewhere as it is. Raises as `read`."""
        if not self.holds(path):
            return read(path)
        most = MAX_MODULE_BYTES if path.suffix == ".py" else BOUNDS.total_bytes
        return self.read(PurePosixPath(path.relative_to(self.folder.path)), max_bytes=most)[0]

    def read(self, name: PurePosixPath, *, max_bytes: int = BOUNDS.total_bytes) -> tuple[bytes, int]:
        """Content and mode of the regular file `name`; links that stay inside are followed. Raises as `Folder.open`."""
        with self.folder.open(name, max_bytes=max_bytes, follow=True) as file:
            mode = os.fstat(file.fileno()).st_mode
            data = read_open(file, self.folder.path / name, max_bytes)
        self._bytes += len(data)
        if self._bytes > BOUNDS.total_bytes:
            raise ApplianceError(
                f"{self.folder.path} is too large: its files have more than {BOUNDS.total_bytes:,} bytes together",
                hint="the limits: docs/limits.md",
            )
        self.closed = self.closed or not mode & stat.S_IROTH
        return data, mode
