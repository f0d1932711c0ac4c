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
import sys
import time
from dataclasses import dataclass, replace
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


@dataclass(frozen=True, slots=True)
class _Place:
    """What was read: all up to `position` in the piece `within`; None: in the file itself, before which `newest` is cut off."""

    newest: tuple[int, int] | None
    within: tuple[int, int] | None
    position: int


class Follower:
    """Reads a growing file from `offset` on, or with `older` from its oldest piece on; a context manager.

    The file must be there.
    """

    def __init__(self, path: Path, *, offset: int = 0, older: bool = False) -> None:
        self._path = path
        with storage_errors(path):
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with storage_errors(path), shared(self._file):
                self._place = _Place(next(map(_identity, pieces(path)), None), None, offset)
            if older:
                self.to_last(sys.maxsize)
            self._inotify = _watch(path)
        except BaseException:
            os.close(self._file)
            raise

    @property
    def place(self) -> object:
        """Where it is, for `back_to`."""
        return self._place

    def back_to(self, place: object) -> None:
        """What was read since it was at `place` is read once more."""
        assert isinstance(place, _Place)  # noqa: S101 - nobody else makes them
        self._place = place

    def to_last(self, size: int) -> bool:
        """The next to read are the last `size` bytes; whether these are all there are. Raises StorageError and its like."""
        with storage_errors(self._path), shared(self._file):
            older = [(_identity(piece), piece.stat().st_size) for piece in pieces(self._path)]
            left = sum(size for _, size in older) + os.fstat(self._file).st_size - size
            whole, left = left <= 0, max(0, left)
            newest = older[0][0] if older else None
            for identity, length in reversed(older):
                if left < length:
                    self._place = _Place(newest, identity, left)
                    return whole
                left -= length
            self._place = _Place(newest, None, left)
            return whole

    def read(self, most: int = sys.maxsize) -> bytes:
        """What came since the last call, all of it or the first `most` bytes; empty where nothing did."""
        with shared(self._file):
            older = b""
            with contextlib.suppress(FileNotFoundError):  # it is being removed, and this file with it
                older = self._read_older(most)
            return older + self._read_on(most - len(older))

    def _read_older(self, most: int) -> bytes:
        """What was cut off and was not read yet; where that is not all, the place is in one of the pieces then."""
        older = pieces(self._path)
        identities = [_identity(piece) for piece in older]
        newest = next(iter(identities), None)
        was, position = self._place, self._place.position
        if was.within is None and newest == was.newest:
            return b""
        if was.within in identities:
            older = older[: identities.index(was.within) + 1]
        elif was.within is None and was.newest in identities:
            older = older[: identities.index(was.newest)]
        elif was.within is not None or was.newest is not None:
            position = 0  # so far behind that what was read last is gone
        found = b""
        for piece, identity in reversed(list(zip(older, identities, strict=False))):
            size = piece.stat().st_size
            if position < size:
                with piece.open("rb") as file:
                    file.seek(position)
                    found += file.read(min(most - len(found), size - position))
                    position = file.tell()
            if position < size:  # there is more than was asked for
                self._place = _Place(newest, identity, position)
                return found
            position -= size
        self._place = _Place(newest, None, position)
        return found

    def _read_on(self, most: int) -> bytes:
        if self._place.within is not None:
            return b""
        chunks, position = [], self._place.position
        while chunk := os.pread(self._file, min(most, _CHUNK), position):
            chunks.append(chunk)
            position += len(chunk)
            most -= len(chunk)
        self._place = replace(self._place, position=position)
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
