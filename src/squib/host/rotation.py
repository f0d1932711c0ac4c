"""A file that another process appends to, cut into older pieces while it goes on: before `log` is `log.1`, before that `log.2`.

The rule: the pieces, oldest first, then the file itself, are one stream. Whoever cuts holds the file's lock (flock(2)) alone,
whoever reads shares it, so a reader never sees half a cut; a lock goes with its process, so a killed one leaves none behind.

The writer knows nothing of all this and holds the file open with O_APPEND. So the file itself must stay: what was copied out is
taken from its front by FALLOC_FL_COLLAPSE_RANGE (fallocate(2); ext4, xfs), which loses nothing that is appended meanwhile.
Where the file-system cannot do that, the file is emptied, and what comes between the last read and that moment is lost.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from squib.host.files import storage_errors

__all__ = ["last_lines", "mark", "pieces", "rotate", "shared", "tail"]

_COLLAPSE_RANGE = 0x08
_BLOCK = 1 << 16
"""A multiple of every usual block size: what is cut must be whole blocks."""
_PATIENCE_S = 5.0


def pieces(log: Path) -> tuple[Path, ...]:
    """The older pieces, newest first: `log.1`, `log.2` and so on."""
    found: list[Path] = []
    while (piece := _piece(log, len(found) + 1)).exists():
        found.append(piece)
    return tuple(found)


def mark(log: Path) -> tuple[int, int] | None:
    """What was cut off `log` last: another value after each cut, None before the first.

    Inode numbers are used again, times of writing are not.
    """
    try:
        status = _piece(log, 1).stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


def rotate(log: Path, *, over: int, keep: int) -> bool:
    """Cuts `log` where it has more than `over` bytes, and keeps `keep` older pieces; whether it did.

    Does nothing where somebody else is at it. Raises StorageError and its like; nothing is lost then.
    """
    with storage_errors(log), log.open("r+b", buffering=0) as file:
        if os.fstat(file.fileno()).st_size <= over or not _lock(file.fileno(), fcntl.LOCK_EX):
            return False
        size = os.fstat(file.fileno()).st_size
        if size <= over:  # it was cut while we came
            return False
        fresh = log.with_name(f"{log.name}.new")
        try:
            cut = _cut_at(size) if _can_collapse(fresh) else 0
            _copy(file.fileno(), fresh, cut or None)
            _shift(log, fresh, keep)
            if not (cut and _collapse(file.fileno(), cut)):
                os.ftruncate(file.fileno(), 0)
        finally:
            fresh.unlink(missing_ok=True)
        return True


@contextlib.contextmanager
def shared(descriptor: int) -> Iterator[None]:
    """While it lasts nobody cuts the file; `descriptor` is of the file itself.

    A cut takes milliseconds. One that does not end (its process was stopped in the middle) holds nobody up for longer than
    _PATIENCE_S: what is read then may have a line twice.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while not _lock(descriptor, fcntl.LOCK_SH) and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def tail(log: Path, size: int) -> bytes:
    """The last `size` bytes of the stream, or all where it is shorter. Raises MissingError, StorageError and their like."""
    with storage_errors(log), log.open("rb") as file, shared(file.fileno()):
        found = _end_of(log, size)
        for piece in pieces(log):
            if len(found) >= size:
                break
            found = _end_of(piece, size - len(found)) + found
        return found


def last_lines(log: Path, size: int) -> bytes:
    """The lines that begin in the last `size` bytes: what a cut leaves of one may look like a whole one. Raises as `tail`."""
    found = tail(log, size + 1)
    if len(found) <= size:
        return found
    _, _, lines = found.partition(b"\n")
    return lines


def _end_of(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - size))
        return file.read(size)


def _piece(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}")


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _cut_at(size: int) -> int:
    """As much of the front as can be collapsed: whole blocks, and not up to the end (fallocate(2), EINVAL)."""
    return max(0, size - 1) // _BLOCK * _BLOCK


def _copy(descriptor: int, to: Path, size: int | None) -> None:
    """Copies the first `size` bytes, or all there are."""
    with os.fdopen(_private(str(to), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as out:
        position = 0
        while size is None or position < size:
            chunk = os.pread(descriptor, 1 << 20 if size is None else min(1 << 20, size - position), position)
            if not chunk:
                break
            out.write(chunk)
            position += len(chunk)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _can_collapse(fresh: Path) -> bool:
    """Tried on a file of its own beside the log: whether this file-system can is not told by its name."""
    probe = fresh.with_name(f"{fresh.name}.probe")
    try:
        descriptor = _private(str(probe), os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        try:
            os.ftruncate(descriptor, 2 * _BLOCK)
            return _collapse(descriptor, _BLOCK)
        finally:
            os.close(descriptor)
    finally:
        probe.unlink(missing_ok=True)


def _collapse(descriptor: int, size: int) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    return int(libc.fallocate(descriptor, _COLLAPSE_RANGE, ctypes.c_long(0), ctypes.c_long(size))) == 0


def _shift(log: Path, fresh: Path, keep: int) -> None:
    """`fresh` becomes the first piece, each older one the next; the last ones go."""
    numbers = range(1, len(pieces(log)) + 1)
    for number in reversed(numbers):
        if number >= keep:
            _piece(log, number).unlink()
        else:
            _piece(log, number).replace(_piece(log, number + 1))
    fresh.replace(_piece(log, 1))
