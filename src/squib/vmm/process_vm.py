"""A machine that is one process and one console file: how it becomes ready, ends, and is ended, whatever program it is.

Everything waits for its event *and* for the process's death (a pidfd) *and* for a deadline. Signals go by the pidfd.
"""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from squib.errors import SquibError
from squib.formats.console_lines import Ready
from squib.host.follow import Follower
from squib.host.process import Handle, ProcessIdentity
from squib.host.rotation import last_lines
from squib.model.machine import EndedBy
from squib.vmm.base import OnOutput, VmEnd
from squib.vmm.console_log import ConsoleLog
from squib.vmm.diagnosis import explain_deadline, explain_end, explain_panic
from squib.vmm.guest_report import describe_end, quoted
from squib.vmm.run_dir import check_room, rotate_console

__all__ = ["ProcessVm", "last_words"]

_FOR_EVER = 86400.0 * 365
_LAST_WORDS_BYTES = 1 << 16
_PLUG_S = 2.0
"""Seconds that a VMM has to end, once it was told to."""


class ProcessVm(ABC):
    """One machine of a VMM called `vmm`; owns `process`, which it closes."""

    def __init__(self, vmm: str, process: Handle, console: Path) -> None:
        self._vmm = vmm
        self._process = process
        self._console = console
        self._follower = Follower(console)
        self._log = ConsoleLog()

    @property
    @abstractmethod
    def elsewhere(self) -> str:
        """Where a guest may run that shows nothing in this VMM."""

    @abstractmethod
    def _ask_to_stop(self, timeout: float) -> None:
        """Passes the wish to stop to the guest, in at most `timeout` seconds. Raises SquibError where it cannot."""

    @abstractmethod
    def _pull_plug(self, timeout: float) -> None:
        """Tells the VMM itself to end, if there is a better way than a signal. Raises SquibError where it cannot."""

    @property
    def identity(self) -> ProcessIdentity:
        """The VMM's process."""
        return self._process.identity

    @property
    def console(self) -> Path:
        """The file that the first serial port writes."""
        return self._console

    def wait_ready(self, timeout: float, on_output: OnOutput | None = None) -> Ready:
        """As `base.Vm` has it."""
        end = time.monotonic() + timeout
        while True:
            ready = self._read(on_output)
            if ready is not None:
                return ready
            if self._log.exit is not None or self._log.panic:
                self._process.wait(_PLUG_S)  # the last lines are on their way
                self._read(on_output)
                raise self._why_ended() if self._log.exit is not None else explain_panic(self._log)
            left = end - time.monotonic()
            if left <= 0:
                check_room(self._console.parent)
                raise explain_deadline(self._log, timeout=timeout, elsewhere=self.elsewhere)
            if self._follower.wait(self._process, left):
                self._read(on_output)
                raise self._why_ended()

    def _why_ended(self) -> SquibError:
        return explain_end(self._log, vmm=self._vmm, vmm_end=_describe(self._process))

    def wait(self, timeout: float | None, on_output: OnOutput | None = None) -> VmEnd | None:
        """As `base.Vm` has it."""
        end = time.monotonic() + (_FOR_EVER if timeout is None else timeout)
        while True:
            self._read(on_output)
            left = end - time.monotonic()
            ended = self._process.ended() if left <= 0 else self._follower.wait(self._process, left)
            if ended:
                self._read(on_output)
                return self._end()
            if left <= 0:
                return None

    def poll(self) -> VmEnd | None:
        """As `base.Vm` has it."""
        return self.wait(0)

    def stop(self, timeout: float, on_output: OnOutput | None = None) -> VmEnd:
        """As `base.Vm` has it."""
        end = time.monotonic() + timeout
        rotate_console(self._console)  # so that there is room for its last word
        try:
            self._ask_to_stop(min(timeout, _PLUG_S))
        except SquibError:
            # It may be ending this moment, or be stuck: the deadline below decides, and what follows it cannot fail softly.
            end = min(end, time.monotonic() + _PLUG_S)
        return self.wait(max(0.0, end - time.monotonic()), on_output) or self.kill()

    def kill(self) -> VmEnd:
        """As `base.Vm` has it."""
        forced = not self._process.ended()
        if forced:
            with contextlib.suppress(SquibError):  # where it does not listen, signals do
                self._pull_plug(_PLUG_S)
                self._process.wait(_PLUG_S)
        if not self._process.ended():
            self._process.end(patience=_PLUG_S)
        self._read(None)
        return self._end(EndedBy.FORCE if forced else EndedBy.VMM)

    def _read(self, on_output: OnOutput | None) -> Ready | None:
        data = self._follower.read()
        if not data:
            return None
        rotate_console(self._console)
        if on_output is not None:
            on_output(data)
        return next((line for line in self._log.feed(data) if isinstance(line, Ready)), None)

    def _end(self, wordless: EndedBy = EndedBy.VMM) -> VmEnd:
        if (words := _words(self._log)) is not None:
            return words
        if wordless is EndedBy.FORCE:
            return VmEnd(None, "ended by force, without a word of the guest", wordless)
        return VmEnd(None, f"{self._vmm} ended without a word of the guest ({_describe(self._process)})", wordless)

    def close(self) -> None:
        """Lets go of it; it runs on."""
        self._follower.close()
        self._process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def last_words(console: Path) -> VmEnd | None:
    """How a machine that is gone ended, as far as the end of its console tells. Raises StorageError and its like."""
    log = ConsoleLog()
    log.feed(last_lines(console, _LAST_WORDS_BYTES))
    return _words(log)


def _words(log: ConsoleLog) -> VmEnd | None:
    if log.exit is not None:
        return VmEnd(log.exit.status, describe_end(log.exit))
    if log.panic:
        return VmEnd(None, f"kernel panic: {quoted(log.panic)}", EndedBy.GUEST)
    return None


def _describe(process: Handle) -> str:
    match process.returncode:
        case None:
            return "ended"
        case status if status >= 0:
            return f"exit status {status}"
        case number:
            return f"signal {-number}"
