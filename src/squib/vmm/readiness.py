"""Whether a machine that runs serves now, from the end of its console, where PID 1 says when the server is ready or dies.

Only a bounded part is read, however long the console is: where a server logs so much that PID 1's last word is further back
than that, the machine is taken for ready, as it was when it was started.

What was found is kept beside the console, with the place up to which it was read, so the next look reads only what came
since. It is believed where the console is still the same up to there; otherwise it is looked at anew.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from squib.formats.console_lines import Exit, Health, Ready, Restart, last_state
from squib.host.files import storage_errors
from squib.host.rotation import mark, tail

__all__ = ["Readiness", "readiness"]

_CHUNK = 1 << 16
_LOOKED_AT = 1 << 20
_BEFORE = 64
"""Bytes before a place by which it is known again."""
_SEEN = ".seen"
_SEEN_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Readiness:
    """`because` says in a few words why it is not ready; empty where it is."""

    ready: bool
    because: str = ""


class _Seen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All lines before `offset` were read; `piece` is what was cut off before the file, `before` the last bytes of them."""

    piece: tuple[int, int] | None
    offset: int
    before: bytes
    ready: bool
    because: str


def readiness(console: Path) -> Readiness:
    """What the last such line in the file says. Raises MissingError, StorageError and their like."""
    with storage_errors(console), console.open("rb") as file:
        size, piece = os.fstat(file.fileno()).st_size, mark(console)
        seen = _seen(console)
        if seen is not None and seen.piece == piece and 0 <= size - seen.offset <= _LOOKED_AT:
            begin = max(0, seen.offset - _BEFORE)
            data = os.pread(file.fileno(), size - begin, begin)
            if data.startswith(seen.before) and len(seen.before) == seen.offset - begin:
                if len(data) == len(seen.before):
                    return Readiness(seen.ready, seen.because)
                found = _told(last_state(b"\n" + data[len(seen.before) :])) or Readiness(seen.ready, seen.because)
                _keep(console, piece, begin, data, found)
                return found
    found, data = _anew(console)
    _keep(console, piece, size - len(data), data, found)
    return found


def _anew(console: Path) -> tuple[Readiness, bytes]:
    """From the end of the console; and the part of it that was read."""
    data = b""
    for size in (_CHUNK, _LOOKED_AT):
        data = tail(console, size)
        # A line that the first look cuts is found whole by the second.
        found = _told(last_state(data if len(data) == size else b"\n" + data))
        if found is not None:
            return found, data
    return Readiness(ready=True), data


def _told(line: Ready | Restart | Health | Exit | None) -> Readiness | None:
    match line:
        case Ready() | Health(state="ok"):
            return Readiness(ready=True)
        case Restart():
            return Readiness(ready=False, because=f"its server died ({line.cause}) and is started again")
        case Health():
            return Readiness(ready=False, because=f"its health check failed ({line.check}, {line.state})")
        case Exit():
            return Readiness(ready=False, because=f"it is ending ({line.reason})")
        case None:
            return None


def _seen(console: Path) -> _Seen | None:
    try:
        with console.with_name(console.name + _SEEN).open("rb") as file:
            return msgspec.json.decode(file.read(_SEEN_BYTES), type=_Seen)
    except (OSError, msgspec.DecodeError):
        return None


def _keep(console: Path, piece: tuple[int, int] | None, begin: int, data: bytes, found: Readiness) -> None:
    """Up to the last line feed in `data`, which begins at `begin` of the file; where it cannot be kept, it is found again."""
    if begin < 0:  # in an older piece
        begin, data = 0, data[-begin:]
    end = data.rfind(b"\n") + 1
    if begin and end < _BEFORE:
        return
    before = data[max(0, end - _BEFORE) : end]
    seen = _Seen(piece, begin + end, before, found.ready, found.because)
    kept = console.with_name(console.name + _SEEN)
    new = kept.with_name(f"{kept.name}.{os.getpid()}")
    try:
        # Not by `write_atomic`, which makes the folder: that may be removed this moment, and must stay so.
        new.write_bytes(msgspec.json.encode(seen))
        new.replace(kept)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()
