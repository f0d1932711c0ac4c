"""Marshalled byte code whose bytes depend on the code alone.

`marshal` marks an object as shared by looking at reference counts and interned strings of the running process, so the same
source gives unlike bytes in unlike processes. Format 2 has no such marks, but writes each string anew wherever it stands:
a third larger, and every function gets its own copy of the file's name in memory. `share` reads a format-2 stream and writes
format 4, in which a string that comes again is a reference to its first place. The rule: what is shared follows from the
stream alone.
"""

from __future__ import annotations

import marshal
import struct
from types import CodeType

__all__ = ["dumps", "share"]

_FLAG_REF = 0x80
_SHORT = 256
_CODE_INTS = 5  # argcount, posonlyargcount, kwonlyargcount, stacksize, flags
_CODE_OBJECTS = 8  # code, consts, names, localsplusnames, localspluskinds, filename, name, qualname
_CODE_TAIL_OBJECTS = 2  # linetable, exceptiontable, after firstlineno


def dumps(code: CodeType) -> bytes:
    """`code` marshalled, the same bytes in every process of one Python version."""
    return share(marshal.dumps(code, 2))


def share(stream: bytes) -> bytes:
    """A format-2 `stream` as format 4 with repeated strings shared. Raises ValueError for what compiled code never holds."""
    counter = _Strings(stream)
    counter.skip_object()
    again = {value for value, count in counter.counts.items() if count > 1}
    writer = _Writer(stream, again)
    writer.skip_object()
    if writer.at != len(stream):
        raise ValueError("bytes after the end of the code")
    return bytes(writer.out)


class _Strings:
    """Walks a stream and counts its strings."""

    def __init__(self, stream: bytes) -> None:
        self.stream = stream
        self.at = 0
        self.counts: dict[bytes, int] = {}

    def string(self, value: bytes) -> None:
        self.counts[value] = self.counts.get(value, 0) + 1

    def copy(self, start: int) -> None:
        """Takes note of the bytes from `start` to here, which stay as they are."""

    def skip(self, size: int) -> None:
        start = self.at
        self.at += size
        self.copy(start)

    def size_at(self, offset: int) -> int:
        return int(struct.unpack_from("<i", self.stream, self.at + offset)[0])

    def skip_object(self) -> None:  # noqa: C901, PLR0912 - one table of the stream's kinds
        kind = self.stream[self.at : self.at + 1]
        match kind:
            case b"N" | b"T" | b"F" | b".":  # None, True, False, Ellipsis
                self.skip(1)
            case b"i":
                self.skip(5)
            case b"l":  # digits of 15 bits; the sign is that of the count
                self.skip(5 + 2 * abs(self.size_at(1)))
            case b"g":
                self.skip(9)
            case b"y":
                self.skip(17)
            case b"s":
                self.skip(5 + self.size_at(1))
            case b"u":
                size = self.size_at(1)
                value = self.stream[self.at + 5 : self.at + 5 + size]
                self.at += 5 + size
                self.string(value)
            case b"(" | b">":  # tuple, frozenset
                count = self.size_at(1)
                self.skip(5)
                for _ in range(count):
                    self.skip_object()
            case b"c":
                self.skip(1 + 4 * _CODE_INTS)
                for _ in range(_CODE_OBJECTS):
                    self.skip_object()
                self.skip(4)
                for _ in range(_CODE_TAIL_OBJECTS):
                    self.skip_object()
            case _:
                raise ValueError(f"unknown kind {kind!r} at byte {self.at}")


class _Writer(_Strings):
    """Walks a stream and writes it anew; strings of `again` are shared."""

    def __init__(self, stream: bytes, again: set[bytes]) -> None:
        super().__init__(stream)
        self.again = again
        self.places: dict[bytes, int] = {}
        self.out = bytearray()

    def copy(self, start: int) -> None:
        self.out += self.stream[start : self.at]

    def string(self, value: bytes) -> None:
        place = self.places.get(value)
        if place is not None:
            self.out += b"r" + struct.pack("<i", place)
            return
        flag = 0
        if value in self.again:
            self.places[value] = len(self.places)
            flag = _FLAG_REF
        if value.isascii() and len(value) < _SHORT:
            self.out += bytes((ord("z") | flag, len(value))) + value
        else:
            self.out += bytes((ord("u") | flag,)) + struct.pack("<i", len(value)) + value
