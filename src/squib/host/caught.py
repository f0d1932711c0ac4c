"""Signals that are answered, or waited for beside other descriptors: none is lost, and none interrupts what is being done.

What was ignored when this process began stays ignored: so nohup(1) has it for SIGHUP, and a shell without job control for the
SIGINT of what it starts in the background (POSIX, "Asynchronous AND-OR Lists").
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

__all__ = ["answer", "caught"]


def answer(number: signal.Signals, handler: Callable[[int, FrameType | None], object]) -> None:
    """Lets `handler` answer the signal, unless that is ignored. In the main thread only."""
    if signal.getsignal(number) != signal.SIG_IGN:
        signal.signal(number, handler)


@contextlib.contextmanager
def caught(numbers: Sequence[signal.Signals], at_once: Callable[[], None]) -> Iterator[int]:
    """A descriptor from which a byte, its number, can be read for each signal (signal.set_wakeup_fd) that is not ignored.

    In the main thread only.

    `at_once` is called as soon as a second one came, even where the program hangs in a write. A second SIGHUP is none: the
    terminal is gone, and a shell may say that again.
    """
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    count = 0

    def note(number: int, _frame: object) -> None:
        nonlocal count
        if number == signal.SIGHUP:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        count += 1
        if count > 1:
            at_once()

    with contextlib.ExitStack() as stack:
        stack.callback(os.close, reading)
        stack.callback(os.close, writing)
        before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        stack.callback(signal.set_wakeup_fd, before)
        for number in numbers:
            stack.callback(signal.signal, number, signal.getsignal(number))
            answer(number, note)
        yield reading
