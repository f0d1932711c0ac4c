"""When the start reached each of its steps, for who asks by `squib-boot.marks` (docs/guest-abi.md, "Marks").

Taking a mark is one look at the clock and an entry in a list, so it is done at every boot; what costs (reading the kernel's
log, and writing the line) is done where somebody asks, and after the readiness line.
"""

from __future__ import annotations

import struct
import time

SERVER_MARKS = ("server", "imported", "loop")
"""What the server process marks: it runs, its modules are imported, it enters its loop (handler loaded)."""
_SERVER_RECORD = "=3Q"
SERVER_RECORD_BYTES = struct.calcsize(_SERVER_RECORD)


def now_ns() -> int:
    """Nanoseconds of the kernel's uptime (CLOCK_BOOTTIME)."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Marks:
    """Names and moments (`now_ns`), in the order in which they came."""

    __slots__ = ("moments",)

    def __init__(self) -> None:
        self.moments: list[tuple[str, int]] = []

    def mark(self, name: str, at_ns: int | None = None) -> None:
        """`name` happened at `at_ns`, or just now."""
        self.moments.append((name, now_ns() if at_ns is None else at_ns))

    def to_record(self) -> bytes:
        """The server process's marks, for PID 1: `SERVER_RECORD_BYTES`, or nothing where they are not all there."""
        if tuple(name for name, _ in self.moments) != SERVER_MARKS:
            return b""
        return struct.pack(_SERVER_RECORD, *(at_ns for _, at_ns in self.moments))

    def add_record(self, record: bytes) -> None:
        """Takes over what `to_record` gave in another process; anything else is ignored: PID 1 believes nobody."""
        if len(record) == SERVER_RECORD_BYTES:
            self.moments += zip(SERVER_MARKS, struct.unpack(_SERVER_RECORD, record), strict=True)
