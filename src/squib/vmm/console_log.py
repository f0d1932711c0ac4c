"""What a console has said so far: its tail, for people, and what the guest reported, for squib. Pure: bytes in, values out."""

from __future__ import annotations

import re
from collections import deque

from squib.formats import console_lines
from squib.formats.console_lines import Boot, ConsoleLine, Exit, Health, Marks, Ready

__all__ = ["ConsoleLog"]

_TAIL_LINES = 20
_MAX_LINE = 4096

# At a line's beginning, behind what printk puts there (level, time, caller): a server's log may hold the same words.
_PRINTK = r"(?:<\d+>)?(?:\[ *\d+\.\d+\] ?)?(?:\[ *[TC]\d+\] ?)?"
_PANIC = re.compile(_PRINTK + r"Kernel panic - not syncing: (?P<why>.*)")
_INITRAMFS = re.compile(_PRINTK + r"Initramfs unpacking failed: (?P<why>.*)")
# Escape sequences (ECMA-48 5.4: CSI; ECMA-35 13.2: the others) and every other control character.
_CONTROL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[ -/]*[0-~])|[^\t\x20-\x7e\xa0-\U0010ffff]")


class ConsoleLog:
    """Fed with a console's bytes in any pieces; holds a bounded tail of them, however long it runs.

    `boot`, `ready`, `health` and `exit` are the last such line; `panic` and `initramfs` are what the kernel said of its end and
    of a broken initrd, or empty; `before_exit` is the line before `squib.exit`; `received` counts all bytes.
    """

    def __init__(self) -> None:
        self.received = 0
        self.boot: Boot | None = None
        self.ready: Ready | None = None
        self.health: Health | None = None
        self.exit: Exit | None = None
        self.panic = ""
        self.initramfs = ""
        self.before_exit = ""
        self._lines: deque[str] = deque(maxlen=_TAIL_LINES)
        self._rest = b""

    def feed(self, data: bytes) -> tuple[ConsoleLine, ...]:
        """The lines for the host that `data` completes."""
        self.received += len(data)
        *whole, rest = (self._rest + data).split(b"\n")
        # An endless line is cut: its start still tells what it is, and no line for the host is that long.
        self._rest = rest[:_MAX_LINE]
        return tuple(line for raw in whole if (line := self._take(raw[:_MAX_LINE].rstrip(b"\r"))) is not None)

    def _take(self, raw: bytes) -> ConsoleLine | None:
        text, panicked = raw.decode("utf-8", "replace"), bool(self.panic)
        shown = _CONTROL.sub("", text)
        line = console_lines.parse(text)
        match line:
            case Boot():
                self.boot = line
            case Ready():
                self.ready = line
            case Health():
                self.health = line
            case Exit():
                self.exit = line
                self.before_exit = self._lines[-1] if self._lines else ""
            case Marks():
                return line  # for a program that asked for it; not for the tail that people see
            case _:
                self._look_for_the_kernels_end(shown)
        # Behind a panic comes a stack trace, which would push what led to it out of the tail.
        if shown.strip() and not panicked:
            self._lines.append(shown)
        return line

    def _look_for_the_kernels_end(self, shown: str) -> None:
        if not self.panic and (match := _PANIC.match(shown)):
            self.panic = match["why"].strip() or "no reason given"
        if not self.initramfs and (match := _INITRAMFS.match(shown)):
            self.initramfs = match["why"].strip()

    @property
    def tail(self) -> str:
        """The last lines (of a kernel that panicked: up to the panic), with nothing in them that moves a terminal's cursor."""
        rest = _CONTROL.sub("", self._rest.decode("utf-8", "replace"))
        lines = [*self._lines, rest] if rest.strip() and not self.panic else list(self._lines)
        return "\n".join(lines[-_TAIL_LINES:])
