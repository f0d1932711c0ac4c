"""The console, which is PID 1's alone: its lines for the host, and between them the server's (docs/guest-abi.md).

A line starts at the beginning of a line. Nothing here waits for the console, which may be slow or stand still: what it does not
take is kept, and written when it does. One that is closed or broken loses lines, and nothing else: PID 1 must not end for it.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import time

from squib.guest.output import MARK

ABI = 3
ROOM_BYTES = 16 * 1024
"""With so much waiting for the console, the server's output is not read."""
KEEP_BYTES = 256 * 1024
"""With so much waiting, PID 1's own lines are lost too: the console has stood still for very long."""
_LOOK_MS = 100
# <asm-generic/ioctls.h>: bytes that the terminal has not sent yet; with a non-zero argument TCSBRK is tcdrain(3).
_TIOCOUTQ, _TCSBRK = 0x5411, 0x5409


def uptime_ms() -> int:
    """The kernel's uptime in milliseconds (CLOCK_BOOTTIME)."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def encode(value: str, also: str = "") -> str:
    """`value` with a space, `%`, whatever is not printable ASCII, and each character in `also`, as %XX of its UTF-8 bytes."""
    shown = []
    for byte in value.encode("utf-8", "surrogateescape"):
        character = chr(byte)
        shown.append(f"%{byte:02X}" if not 0x20 < byte < 0x7F or character == "%" or character in also else character)
    return "".join(shown)


def event_line(event: str, *fields: tuple[str, object]) -> str:
    """`squib.EVENT abi=3 NAME=VALUE…`; values must be encoded where they can hold anything."""
    return " ".join([f"squib.{event}", f"abi={ABI}", *(f"{name}={value}" for name, value in fields)])


def boot_line() -> str:
    """PID 1 runs."""
    return event_line("boot", ("uptime_ms", uptime_ms()))


def ready_line(addresses: list[str]) -> str:
    """The server is in its loop; `addresses` as `listeners.describe` gives them."""
    listen = ",".join(encode(address, also=",") for address in addresses)
    return event_line("ready", ("uptime_ms", uptime_ms()), ("listen", listen))


def restart_line(attempt: int, delay_ms: int, cause: str) -> str:
    """The server died and is started again."""
    return event_line("restart", ("attempt", attempt), ("delay_ms", delay_ms), ("cause", cause))


def health_line(state: str, failures: int, outcome: str) -> str:
    """The server's health has changed: `failures` bad checks in a row, the last of them with `outcome`."""
    fields = (("uptime_ms", uptime_ms()), ("state", state), ("failures", failures), ("check", encode(outcome)))
    return event_line("health", *fields)


def clock_line(ahead_ms: int) -> str:
    """The clock was wrong by so much, and was set right."""
    return event_line("clock", ("uptime_ms", uptime_ms()), ("ahead_ms", ahead_ms))


def marks_line(moments: list[tuple[str, int]], available_kib: int) -> str:
    """When each step of the start was reached: names and nanoseconds of the uptime; and the memory that is left."""
    at_us = ",".join(f"{name}:{at_ns // 1000}" for name, at_ns in sorted(moments, key=lambda moment: moment[1]))
    return event_line("marks", ("at_us", at_us), ("available_kib", available_kib))


def exit_line(status: int, reason: str, cause: str) -> str:
    """The last line; `cause` is how the server ended last."""
    return event_line("exit", ("status", status), ("reason", reason), ("cause", cause))


class Console:
    """Where lines go: the descriptor `fd` of the console, open for writing. PID 1 never waits for it, but in `drain`.

    It takes PID 1's own lines, up to KEEP_BYTES, whatever became of those before; the server's output only while `has_room`.
    """

    __slots__ = ("_at_line_start", "_pending", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._at_line_start = False
        self._pending = b""
        try:
            os.set_blocking(fd, False)
        except OSError:
            return  # closed: every write will say so

    @property
    def pending(self) -> bool:
        """Whether something waits for the console to take it."""
        return bool(self._pending)

    @property
    def has_room(self) -> bool:
        """Whether the server's output may be read: else it waits in its pipe, and the server with it."""
        return len(self._pending) < ROOM_BYTES

    def write(self, line: str) -> None:
        """Writes `line`; a line feed goes before it where the server or the firmware may have left half a line."""
        lead = "" if self._at_line_start else "\n"
        self._put(f"{lead}{line}\n".encode("utf-8", "backslashreplace"))
        self._at_line_start = True

    def message(self, text: str) -> None:
        """A line for people: what is wrong. `text` may have several lines."""
        for part in text.splitlines() or [""]:
            shown = part if part.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in part)
            self.write(f"squib: {shown}")

    def relay(self, first: bytes, rest: bytes) -> None:
        """Writes what `Output.take` gave: `first` goes on with the last line, and is marked where PID 1 has ended that line."""
        if first and self._at_line_start:
            first = MARK + first
        data = first + rest
        if data:
            self._put(data)
            self._at_line_start = data.endswith(b"\n")

    def _put(self, data: bytes) -> None:
        if len(self._pending) < KEEP_BYTES:
            self._pending += data
            self.flush()

    def flush(self) -> None:
        """Writes as much of what waits as the console takes now."""
        try:
            while self._pending:
                self._pending = self._pending[os.write(self.fd, self._pending) :]
        except BlockingIOError:
            return
        except OSError:
            self._pending = b""  # EIO, EBADF, EPIPE: nobody is there to read it, and nothing can be done

    def flush_until(self, deadline: float) -> None:
        """Writes what waits; gives up at `deadline`, of time.monotonic."""
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        while self._pending and (left := deadline - time.monotonic()) > 0:
            poll.poll(min(left * 1000, _LOOK_MS))
            self.flush()

    def drain(self, patience_s: float) -> None:
        """Waits until what was written has left the serial port, but not for longer than `patience_s`."""
        deadline = time.monotonic() + patience_s
        self.flush_until(deadline)
        try:
            while struct.unpack("i", fcntl.ioctl(self.fd, _TIOCOUTQ, bytes(4)))[0] and time.monotonic() < deadline:
                time.sleep(0.001)
            if time.monotonic() < deadline:  # else it was stopped, and tcdrain would wait for as long as it is
                fcntl.ioctl(self.fd, _TCSBRK, 1)
        except OSError:
            return  # not a terminal: nothing is kept back


def open_standard_descriptors() -> None:
    """Sees to it that 0, 1 and 2 are open.

    Without a /dev/console in the initial file-system the kernel starts init with none of them, and the next thing that is
    opened would be taken for the console.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            for path in ("/dev/console", "/dev/null", "/"):
                try:
                    os.open(path, os.O_RDONLY if path == "/" else os.O_RDWR | os.O_NOCTTY)  # takes the lowest free number
                    break
                except OSError:
                    continue
