"""What the server writes, on its way to the console: a pipe, cut into lines (docs/guest-abi.md, "The server's lines").

The server has no descriptor of the console: it can neither stop nor set it. Its lines go there as they are, but for those that
could be taken for a line of PID 1 or of the kernel: these are marked. What decides is what a person sees at a line's beginning:
control characters, escape sequences, spaces and bytes outside of ASCII do not count, wherever they stand in it.
"""

from __future__ import annotations

import os

MARK = b"server: "
READ_BYTES = 64 * 1024
HEAD = 24
"""So many visible characters tell whether a line is like another's."""
HELD_BYTES = 4096
"""So much of a line is held until it can be told; one that has not so many visible characters by then is marked."""

# What the host looks for, without spaces (squib.formats.console_lines, squib.vmm.console_log).
_LIKE = (b"squib:", b"squib.", b"Kernelpanic-", b"Initramfsunpacking")
_UNSEEN = bytes([*range(0x21), *range(0x7F, 0x100)])
_ESC = 0x1B


class Output:
    """A pipe: processes write to `write_fd`, PID 1 reads from `fd`.

    Both ends stay open here, so it does not matter which process closes its end, or keeps it. The user `owner` may open it
    again by its name (/dev/stdout), which takes a right to the pipe itself.
    """

    __slots__ = ("_begun", "_held", "fd", "write_fd")

    def __init__(self, owner: int) -> None:
        self.fd, self.write_fd = os.pipe()
        os.set_blocking(self.fd, False)
        os.fchown(self.write_fd, owner, owner)
        self._held = b""
        self._begun = False

    def take(self) -> tuple[bytes, bytes]:
        """What came: the rest of a line of which a part was given before, and all behind that. Both may be empty."""
        try:
            data = self._held + os.read(self.fd, READ_BYTES)
        except BlockingIOError:
            return b"", b""
        first = b""
        if self._begun:
            end = data.find(b"\n") + 1 or len(data)
            first, data = data[:end], data[end:]
            self._begun = not first.endswith(b"\n")
        *lines, self._held = data.split(b"\n")
        rest = b"".join([b"%b%b\n" % (MARK, line) if is_like_anothers(line) else line + b"\n" for line in lines])
        return first, rest + self._begin()

    def end(self) -> bytes:
        """The line that has no end, with one: who wrote it is gone."""
        line, self._held = self._held, b""
        begun, self._begun = self._begun, False
        if begun:
            return b"\n"
        return (MARK if is_like_anothers(line) else b"") + line + b"\n" if line else b""

    def _begin(self) -> bytes:
        """The line that has no end yet, as soon as it can be told what it is like."""
        line = self._held
        if not line or (len(line) < HELD_BYTES and len(visible_head(line)) < HEAD):
            return b""
        self._held, self._begun = b"", True
        return MARK + line if is_like_anothers(line) or len(visible_head(line)) < HEAD else line


def is_like_anothers(line: bytes) -> bool:
    """Whether `line` could be taken for one of PID 1, or of the kernel."""
    head = visible_head(line)
    return head.startswith(_LIKE) or _is_printks(head)


def visible_head(line: bytes) -> bytes:
    """The first HEAD characters of `line` that a person sees, without spaces."""
    head = line[: 2 * HEAD]
    if _ESC not in head:
        seen = head.translate(None, _UNSEEN)
        if len(seen) >= HEAD or len(line) == len(head):
            return seen[:HEAD]
    return _without_escapes(line)


def _without_escapes(line: bytes) -> bytes:
    """The same for any line; escape sequences as ECMA-48 5.4 (CSI) and ECMA-35 13.2 (the others) have them."""
    seen = bytearray()
    at = 0
    while at < len(line) and len(seen) < HEAD:
        byte = line[at]
        at += 1
        if byte == _ESC:
            at = _end_of_escape(line, at)
        elif 0x20 < byte < 0x7F:
            seen.append(byte)
    return bytes(seen)


def _end_of_escape(line: bytes, start: int) -> int:
    """Where the sequence ends whose ESC is right before `start`; what is none ends there."""
    if line[start : start + 1] == b"[":
        at = _past(line, _past(line, start + 1, 0x30, 0x40), 0x20, 0x30)
        if 0x40 <= _byte(line, at) < 0x7F:
            return at + 1
    at = _past(line, start, 0x20, 0x30)
    return at + 1 if 0x30 <= _byte(line, at) < 0x7F else start


def _past(line: bytes, at: int, least: int, end: int) -> int:
    while least <= _byte(line, at) < end:
        at += 1
    return at


def _byte(line: bytes, at: int) -> int:
    return line[at] if at < len(line) else -1


def _is_printks(head: bytes) -> bool:
    """Whether it begins with what printk puts before a line: `<6>`, `[    1.234567]`, `[T1]` (kernel/printk/printk.c)."""
    if head[:1] == b"<":
        return head[1 : head.find(b">")].isdigit()
    if head[:1] != b"[":
        return False
    inner = head[1 : head.find(b"]")] if b"]" in head else head[1:]
    seconds, dot, rest = inner.partition(b".")
    if dot:
        return seconds.isdigit() and (rest.isdigit() or not rest)
    return inner[:1] in (b"T", b"C") and inner[1:].isdigit()
