"""Between a person and a machine: its console, the keys, its log, the signals and its end, all in one loop.

The first wish to stop (a signal, or Ctrl-]) is passed to the guest as Ctrl-Alt-Del; the second, SIGQUIT, or a guest that does
not stop in time ends Firecracker itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol, Self

from squib.errors import SquibError
from squib.host import tty
from squib.host.caught import caught
from squib.host.files import storage_errors
from squib.host.process import Handle
from squib.vmm.console_log import ConsoleLog
from squib.vmm.firecracker.api_client import ApiClient
from squib.wire.firecracker.requests import Request, action

__all__ = ["ESCAPE", "Company", "LogCopy", "Voice"]

ESCAPE = b"\x1d"
"""Ctrl-], as in telnet and virsh."""

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_PIPE_BYTES = 1 << 20
"""For the console: the most that a plain user may have (pipe(7), pipe-max-size)."""
_CHUNK = 1 << 16
_LOG_TAIL = 4096
_ASK_S = 2.0
_LOOK_S = 3600.0
"""The longest wait at once: poll(2) takes no more than 24 days."""
_AFTER_S = 3.0
"""From a guest's last word to the reset; the kernel needs less."""
_LAST_WORD = re.compile(r"^(\[ *[0-9.]+\] )?reboot: (machine restart|Restarting system|Power down|System halted)")
_SILENCE_S = 30.0
"""A kernel says something within a second; then it is time to say that it did not."""


class Voice(Protocol):
    """Who tells a person."""

    def say(self, text: str) -> None:
        """A line of squib's."""
        ...

    def output(self, data: bytes) -> None:
        """Bytes of the guest's console."""
        ...

    def asked(self, request: Request) -> None:
        """What Firecracker is asked for."""
        ...


class LogCopy:
    """Firecracker's log on its way from a FIFO, where Firecracker may overwrite nothing, to the end of a file.

    `path` names the file for people; once it takes no more, `say` tells that, and what follows is dropped: the guest goes on.
    """

    def __init__(self, fifo: int, file: int, *, path: Path, say: Callable[[str], None]) -> None:
        self.fifo = fifo
        self.tail = b""
        self._file = file
        self._path = path
        self._say = say
        self._lost = False

    def copy(self) -> bytes | None:
        """What was there; empty once Firecracker has closed its end, None where there is nothing now."""
        data = _read(self.fifo)
        if data:
            self._keep(data)
            self.tail = (self.tail + data)[-_LOG_TAIL:]
        return data

    def _keep(self, data: bytes) -> None:
        if self._lost:
            return
        try:
            with storage_errors(self._path):
                _write(self._file, data)
        except SquibError as error:
            self._lost = True
            self._say(f"{error}; the rest of Firecracker's log is not kept")


class Company:
    """Pipes for one Firecracker, and the loop beside it; a context manager. `keys`: what goes to the guest, or None."""

    def __init__(self, *, keys: int | None, log: LogCopy | None, voice: Voice) -> None:
        self.console = ConsoleLog()
        self.ended_after_the_guest = False
        self._voice = voice
        self._keys = keys
        self._terminal = keys is not None and tty.ours(keys)
        self._log = log
        self._copied = log
        self._open: set[int] = set()
        self._output, self.stdout = self._pipe()
        self.stdin: int | None = None
        self._input = -1
        if keys is not None:
            self.stdin, self._input = self._pipe()
        with contextlib.suppress(OSError):  # less is no error
            fcntl.fcntl(self._output, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._pending = b""
        self._wishes = 0
        self._deadline: float | None = None
        self._over: float | None = None
        self._forced = False

    def _pipe(self) -> tuple[int, int]:
        ends = os.pipe2(os.O_CLOEXEC)
        self._open.update(ends)
        return ends

    @property
    def logged(self) -> str:
        """The end of Firecracker's log, as far as it was copied here."""
        return "" if self._copied is None else self._copied.tail.decode("utf-8", "replace")

    @property
    def guest_is_over(self) -> bool:
        """Whether the guest's kernel has said its last word."""
        return _is_over(self.console)

    def started(self) -> None:
        """Firecracker has its ends of the pipes now: gives up those of this process."""
        os.set_blocking(self._output, False)
        self._close(self.stdout)
        if self.stdin is not None:
            os.set_blocking(self._input, False)
            self._close(self.stdin)

    def keep(self, process: Handle, api: Path, patience_s: float) -> bool:
        """Returns once Firecracker has ended: whether it had to be made to. A guest has `patience_s` seconds to stop."""
        with ExitStack() as stack:
            if self._terminal and self._keys is not None:
                stack.enter_context(tty.lent(self._keys))
            signals = stack.enter_context(caught(_STOPS, lambda: self._kill(process)))
            self._loop(process, signals, lambda number: self._wish(number, process, api, patience_s))
        self.drain()
        return self._forced

    def _loop(self, process: Handle, signals: int, wish: Callable[[int], None]) -> None:
        silent_until: float | None = time.monotonic() + _SILENCE_S
        while not process.ended():
            now = time.monotonic()
            self._look_for_the_end(now)
            if self._over is not None and now >= self._over:
                self._end_after_the_guest(process)
                return
            if self._deadline is not None and now >= self._deadline:
                self._force(process)
                return
            if silent_until is not None and (self.console.received or now >= silent_until):
                if not self.console.received:
                    self._voice.say(
                        f"the guest has printed nothing for {_SILENCE_S:g} s; does KVM work here? squib doctor tells"
                    )
                silent_until = None
            ends = [end for end in (self._deadline, self._over, silent_until) if end is not None]
            for descriptor in self._wait(process, signals, min(ends, default=None)):
                if descriptor == signals:
                    for number in _read(signals) or b"":
                        wish(number)
                elif descriptor == self._keys:
                    self._take_keys(self._keys, wish)
                else:
                    self._move(descriptor)

    def _wait(self, process: Handle, signals: int, until: float | None) -> list[int]:
        poller = select.poll()
        poller.register(process, select.POLLIN)
        poller.register(signals, select.POLLIN)
        for descriptor in (self._output, -1 if self._log is None else self._log.fifo):
            if descriptor >= 0:
                poller.register(descriptor, select.POLLIN)
        if self._pending:
            poller.register(self._input, select.POLLOUT)
        elif self._keys is not None:
            poller.register(self._keys, select.POLLIN)
        left = None if until is None else min(_LOOK_S, until - time.monotonic())
        milliseconds = None if left is None else max(0, round(left * 1000) + 1)
        return [descriptor for descriptor, _ in poller.poll(milliseconds) if descriptor != process.fileno()]

    def _move(self, descriptor: int) -> None:
        if descriptor == self._output:
            data = _read(self._output)
            if data == b"":
                self._output = -1
            self._show(data or b"")
        elif self._log is not None and descriptor == self._log.fifo:
            if self._log.copy() == b"":
                self._log = None
        else:
            self._pass_on()

    def _show(self, data: bytes) -> None:
        if data:
            self.console.feed(data)
            self._voice.output(data)

    def _take_keys(self, keys: int, wish: Callable[[int], None]) -> None:
        try:
            data = os.read(keys, _CHUNK)
        except OSError:  # the terminal is gone; a SIGHUP is on its way
            data = b""
        if not data:
            self._keys = None
        if self._terminal:
            for _ in range(data.count(ESCAPE)):
                wish(signal.SIGINT)
            data = data.replace(ESCAPE, b"")
        self._pending += data
        self._pass_on()

    def _pass_on(self) -> None:
        """What was typed, to the guest, as far as it takes it; its end, where there is no more to come."""
        try:
            while self._pending:
                self._pending = self._pending[os.write(self._input, self._pending) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._pending, self._keys = b"", None
        if self._keys is None:
            self._close(self._input)

    def _wish(self, number: int, process: Handle, api: Path, patience_s: float) -> None:
        self._wishes += 1
        if self._wishes > 1 or number == signal.SIGQUIT:
            self._force(process)
            return
        self._voice.say("asking the guest to stop; once more to end it at once")
        self._deadline = time.monotonic() + patience_s
        try:
            with ApiClient(api, timeout=_ASK_S) as client:
                client.send(action("SendCtrlAltDel"), timeout=_ASK_S)
        except SquibError as error:
            if not process.wait(_ASK_S):
                self._voice.say(str(error))
                self._deadline = time.monotonic()

    def _look_for_the_end(self, now: float) -> None:
        """A guest that says it is done, and does not reset the processor as Firecracker sees it: without reboot=k, mostly."""
        if self._over is None and (self.console.exit is not None or (self._wishes and _is_over(self.console))):
            self._over = now + _AFTER_S

    def _end_after_the_guest(self, process: Handle) -> None:
        if not process.ended():
            self._voice.say("the guest has ended, and Firecracker does not see it: put reboot=k into --kernel-opts")
            process.end()
            self.ended_after_the_guest = True

    def _force(self, process: Handle) -> None:
        if not process.ended():
            self._forced = True
            process.end()

    def _kill(self, process: Handle) -> None:
        """As a signal's handler may: without waiting."""
        if not process.ended():
            self._forced = True
            process.signal(signal.SIGKILL)

    def drain(self) -> None:
        """What is still in the pipes of a Firecracker that has ended, or does not go on."""
        while self._output >= 0 and (data := _read(self._output)):
            self._show(data)
        while self._log is not None and self._log.copy():
            pass

    def _close(self, descriptor: int) -> None:
        if descriptor in self._open:  # once: the number may be another's then
            self._open.remove(descriptor)
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for descriptor in tuple(self._open):
            self._close(descriptor)


def _is_over(console: ConsoleLog) -> bool:
    """Whether the kernel has said its last word (kernel/reboot.c, kernel/panic.c)."""
    return bool(console.panic) or any(_LAST_WORD.search(line) for line in console.tail.splitlines()[-3:])


def _write(descriptor: int, data: bytes) -> None:
    """All of `data`. Raises OSError."""
    while data:
        data = data[os.write(descriptor, data) :]


def _read(descriptor: int) -> bytes | None:
    """What is there; empty at the end, None where nothing is there now."""
    try:
        return os.read(descriptor, _CHUNK)
    except BlockingIOError:
        return None
