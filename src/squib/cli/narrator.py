"""What a run tells a person while it goes on: lines on standard error, the console on standard output."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator

from squib.cli.report import complain
from squib.cli.terminal import VisibleLines, pass_on
from squib.errors import GuestError
from squib.model.machine import VmmChoice, VmmKind
from squib.store import Machine
from squib.vmm.console_log import ConsoleLog
from squib.vmm.guest_report import GuestReport, after, tell

__all__ = ["Narrator", "interrupts_told", "say"]

_REMIND_S = 10.0
"""A boot that takes longer than this is worth a word."""


_JAILLESS = (
    "without the jailer: Firecracker runs as root, with this host's files and network in reach and no limit on what it takes; "
    "a guest that breaks out of it has this host"
)


class Narrator:
    """Tells a person on standard error what was chosen, and what the guest tells of its server.

    Passes the console on to standard output in the foreground. `jailless`: root wants no jailer, and is told what that means.
    """

    def __init__(self, *, quiet: bool, console: bool, jailless: bool = False) -> None:
        self._quiet = quiet
        self._jailless = jailless
        self._console = console
        self._log = ConsoleLog()
        self._report = GuestReport()
        self._reminder: threading.Timer | None = None
        self._lines = VisibleLines()

    def chosen(self, machine: Machine, choice: VmmChoice) -> None:
        """How it will run, and why."""
        if not self._quiet:
            say(f"{machine.name}: booting in {machine.vmm}, {machine.mem_size_mib} MiB, {machine.vcpu_count} vCPU")
            say(f"with {choice.reason}")
            if self._jailless and choice.vmm is VmmKind.FIRECRACKER:
                say(_JAILLESS)
            self._reminder = threading.Timer(_REMIND_S, say, ("not ready yet",))
            self._reminder.daemon = True
            self._reminder.start()

    def boots_again(self, error: GuestError) -> None:
        """It goes on, and a person should know why it took twice as long."""
        if not self._quiet:
            say(f"{error}; booting it once more, as emulation on a busy host can be the cause")

    def waited(self) -> None:
        """It serves, or never will: nothing is to be reminded of."""
        if self._reminder is not None:
            self._reminder.cancel()

    def output(self, data: bytes) -> None:
        """Bytes of the console."""
        if self._console:
            self._show(data)
        for line in self._log.feed(data):
            words = tell(self._report, line)
            self._report = after(self._report, line)
            if words and not self._quiet:
                say(words)

    def _show(self, data: bytes) -> None:
        """The bytes as they are into a file or a pipe; on a terminal whole lines, with nothing that could command it."""
        if sys.stdout.isatty():
            data = self._lines.feed(data)
        pass_on(data)


def say(text: str) -> None:
    """A line for people. Where nobody is left to read it, as after the end of a terminal, what goes on goes on without."""
    complain(f"squib: {text}")


@contextlib.contextmanager
def interrupts_told(left: Callable[[], str] = lambda: "nothing is left running", *, quiet: bool = False) -> Iterator[None]:
    """Says that Ctrl-C was heard, once all that the context holds has cleaned up after itself; `left` says what it left."""
    try:
        yield
    except KeyboardInterrupt:
        if not quiet:
            say(f"interrupted; {left()}")
        raise
