"""What is to be done even where this process is killed: by a child that does nothing but wait for that."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable, Iterator

from squib.errors import HostError

__all__ = ["if_we_are_killed"]


@contextlib.contextmanager
def if_we_are_killed(work: Callable[[], None]) -> Iterator[None]:
    """While this lasts, `work` is done if this process ends. Leaving it, by an exception too, calls that off.

    To be entered while this process has one thread. Raises HostError.
    """
    us = os.pidfd_open(os.getpid())
    try:
        child = os.fork()
    except OSError as error:
        os.close(us)
        raise HostError(f"no process can be started: {error.strerror}") from error
    if child == 0:
        _wait_and_work(us, work)
    os.close(us)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _wait_and_work(process: int, work: Callable[[], None]) -> None:
    """In the child; does not return."""
    try:
        os.setsid()  # Ctrl-C is for the parent
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        select.select([process], [], [])
        work()
    finally:
        os._exit(0)
