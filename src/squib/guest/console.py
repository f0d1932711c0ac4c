"""The lines that PID 1 writes on the console for the host (docs/guest-abi.md, "Lines on the console").

A line is one write, so it is never torn by another writer, and it starts at the beginning of a line. A console that is
closed or broken loses lines, and nothing else: PID 1 must not end for it.
"""

from __future__ import annotations

import fcntl
import os
import time

ABI = 2
_TCSBRK = 0x5409  # <asm-generic/ioctls.h>; with a non-zero argument it is tcdrain(3)


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
    """`squib.EVENT abi=2 NAME=VALUE…`; values must be encoded where they can hold anything."""
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


def marks_line(moments: list[tuple[str, int]], available_kib: int) -> str:
    """When each step of the start was reached: names and nanoseconds of the uptime; and the memory that is left."""
    at_us = ",".join(f"{name}:{at_ns // 1000}" for name, at_ns in sorted(moments, key=lambda moment: moment[1]))
    return event_line("marks", ("at_us", at_us), ("available_kib", available_kib))


def exit_line(status: int, reason: str, cause: str) -> str:
    """The last line; `cause` is how the server ended last."""
    return event_line("exit", ("status", status), ("reason", reason), ("cause", cause))


class Console:
    """Where lines go: a descriptor of the console, open for writing."""

    __slots__ = ("_at_line_start", "_fd", "_shared")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._at_line_start = False
        self._shared = False

    def share(self) -> None:
        """From now on other processes write to the console too, and may leave half a line."""
        self._shared = True

    def write(self, line: str) -> None:
        """Writes `line`; a line feed goes before it where somebody else may have left half a line."""
        lead = "" if self._at_line_start and not self._shared else "\n"
        data = f"{lead}{line}\n".encode("utf-8", "backslashreplace")
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            return  # EIO, EBADF, EPIPE: nobody is there to read it, and nothing can be done
        self._at_line_start = True

    def message(self, text: str) -> None:
        """A line for people: what is wrong. `text` may have several lines."""
        for part in text.splitlines() or [""]:
            self.write(f"squib: {part}")

    def drain(self) -> None:
        """Waits until what was written has left the serial port."""
        try:
            fcntl.ioctl(self._fd, _TCSBRK, 1)
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
