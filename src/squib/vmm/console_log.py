"""What a console has said so far: its tail, for people, and what the guest reported, for squib. Pure: bytes in, values out."""

from __future__ import annotations

import re

from squib.formats import console_lines
from squib.formats.console_lines import Boot, ConsoleLine, Exit, Ready

__all__ = ["ConsoleLog"]

_TAIL_BYTES = 8192
_TAIL_LINES = 20
_MAX_LINE = 4096

_PANIC = re.compile(rb"Kernel panic - not syncing: (?P<why>[^\r\n]*)")
_INITRAMFS = re.compile(rb"Initramfs unpacking failed: (?P<why>[^\r\n]*)")
_CONTROL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-_])|[^\t\x20-\x7e\xa0-\U0010ffff]")


class ConsoleLog:
    """Fed with a console's bytes in any pieces; holds a bounded tail of them, however long it runs.

    `boot`, `ready` and `exit` are the last such line; `panic` and `initramfs` are what the kernel said of its end and of a
    broken initrd, or empty; `before_exit` is the line before `squib.exit`; `received` counts all bytes.
    """

    def __init__(self) -> None:
        self.received = 0
        self.boot: Boot | None = None
        self.ready: Ready | None = None
        self.exit: Exit | None = None
        self.panic = ""
        self.initramfs = ""
        self.before_exit = ""
        self._tail = b""
        self._line = b""
        self._last_line = ""

    def feed(self, data: bytes) -> tuple[ConsoleLine, ...]:
        """The lines for the host that `data` completes."""
        self.received += len(data)
        self._tail = (self._tail + data)[-_TAIL_BYTES:]
        *whole, rest = (self._line + data).split(b"\n")
        self._line = rest[:_MAX_LINE]
        return tuple(line for raw in whole if (line := self._take(raw.rstrip(b"\r"))) is not None)

    def _take(self, raw: bytes) -> ConsoleLine | None:
        if not self.panic and (match := _PANIC.search(raw)):
            self.panic = match["why"].decode("utf-8", "replace")
        if not self.initramfs and (match := _INITRAMFS.search(raw)):
            self.initramfs = match["why"].decode("utf-8", "replace")
        text = raw.decode("utf-8", "replace")
        line = console_lines.parse(text)
        match line:
            case Boot():
                self.boot = line
            case Ready():
                self.ready = line
            case Exit():
                self.exit = line
                self.before_exit = self._last_line
            case None:
                self._last_line = _CONTROL.sub("", text)
            case _:
                pass
        return line

    @property
    def tail(self) -> str:
        """The last lines, as text that is safe to print: no control characters or escape sequences."""
        lines = [_CONTROL.sub("", line) for line in self._tail.decode("utf-8", "replace").split("\n")]
        return "\n".join([line for line in lines if line.strip()][-_TAIL_LINES:])
