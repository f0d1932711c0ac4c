"""What is appended to a file, as it comes: the console of a virtual machine that another process writes.

inotify(7) says when there is more. Where it does not (some network file-systems), a short timer does: `wait` never blocks
longer than `_FALLBACK_S` without looking.

The file may be cut meanwhile (host.rotation): all is read once and in order, from the older pieces too, as far as they
are still there.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from squib.host.files import storage_errors
from squib.host.process import Handle
from squib.host.rotation import pieces, shared

__all__ = ["Follower"]

_IN_MODIFY = 0x2
_FALLBACK_S = 0.25
_NO_INOTIFY_S = 0.01
_CHUNK = 1 << 16


class Follower:
    """Reads a growing file from `offset` on, or with `older` from its oldest piece on; a context manager.

    The file must be there.
    """

    def __init__(self, path: Path, *, offset: int = 0, older: bool = False) -> None:
        self._path = path
        self._position = offset
        with storage_errors(path):
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with storage_errors(path), shared(self._file):
                self._older = None if older else next(map(_identity, pieces(path)), None)
            self._inotify = _watch(path)
        except BaseException:
            os.close(self._file)
            raise

    def read(self) -> bytes:
        """All that came since the last call; empty where nothing did."""
        with shared(self._file):
            older = b""
            with contextlib.suppress(FileNotFoundError):  # it is being removed, and this file with it
                older = self._read_older()
            return older + self._read_on()

    def _read_older(self) -> bytes:
        """What was cut off since the last call and was not read yet; `_position` is then that in the file itself."""
        older = pieces(self._path)
        identities = [_identity(piece) for piece in older]
        newest = next(iter(identities), None)
        if newest == self._older:
            return b""
        found = b""
        if self._older in identities:
            older = older[: identities.index(self._older)]
        elif self._older is not None:
            self._position = 0  # so far behind that what was read last is gone
        for piece in reversed(older):
            size = piece.stat().st_size
            if self._position >= size:
                self._position -= size
                continue
            with piece.open("rb") as file:
                file.seek(self._position)
                found += file.read()
            self._position = 0
        self._older = newest
        return found

    def _read_on(self) -> bytes:
        chunks = []
        while chunk := os.pread(self._file, _CHUNK, self._position):
            chunks.append(chunk)
            self._position += len(chunk)
        return b"".join(chunks)

    def wait(self, process: Handle, timeout: float) -> bool:
        """Returns when there may be more to read, when `process` has ended, or after `timeout` seconds.

        The answer is whether the process has ended; read once more then, for its last words.
        """
        poller = select.poll()
        poller.register(process.fileno(), select.POLLIN)
        period = _NO_INOTIFY_S
        if self._inotify >= 0:
            poller.register(self._inotify, select.POLLIN)
            period = _FALLBACK_S
        ready = poller.poll(max(0.0, min(timeout, period)) * 1000)
        if any(descriptor == self._inotify for descriptor, _ in ready):
            os.read(self._inotify, _CHUNK)
        return any(descriptor == process.fileno() for descriptor, _ in ready) and process.ended()

    def drain(self, process: Handle, timeout: float) -> bytes:
        """Reads until `process` ends or `timeout` seconds have passed."""
        end = time.monotonic() + timeout
        chunks = [self.read()]
        while (left := end - time.monotonic()) > 0:
            ended = self.wait(process, left)
            chunks.append(self.read())
            if ended:
                break
        return b"".join(chunks)

    def close(self) -> None:
        """Closes the file; safe to call twice."""
        for descriptor in {self._file, self._inotify} - {-1}:
            os.close(descriptor)
        self._file = self._inotify = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _identity(piece: Path) -> tuple[int, int]:
    """Inode numbers are used again, times of writing are not."""
    status = piece.stat()
    return status.st_ino, status.st_mtime_ns


def _watch(path: Path) -> int:
    """A descriptor that becomes readable when `path` is written to; -1 where the kernel has none left or none at all."""
    libc = ctypes.CDLL(None)
    descriptor = int(libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
    if descriptor >= 0 and libc.inotify_add_watch(descriptor, os.fsencode(path), _IN_MODIFY) < 0:
        os.close(descriptor)
        return -1
    return descriptor
