"""An empty network namespace, and work done in one: by a thread of its own, so that this process stays where it is.

A namespace belongs to a thread (setns(2), unshare(2)), and lives as long as a process is in it or a descriptor of it is open.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from squib.errors import HostError, PermissionDeniedError

__all__ = ["empty", "here", "inside"]

_T = TypeVar("_T")
_CLONE_NEWNET = 0x40000000  # linux/sched.h
_THREADS_OWN = "/proc/thread-self/ns/net"


@contextlib.contextmanager
def empty() -> Iterator[int]:
    """A descriptor of a new one, which has a loopback device that is down, and nothing else.

    Raises PermissionDeniedError, HostError.
    """

    def make() -> int:
        _call("unshare", _CLONE_NEWNET)
        return os.open(_THREADS_OWN, os.O_RDONLY | os.O_CLOEXEC)

    descriptor = _in_a_thread(make)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def here() -> Iterator[int]:
    """A descriptor of the one that this thread is in."""
    descriptor = os.open(_THREADS_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def inside(namespace: int, work: Callable[[], _T]) -> _T:
    """What `work` returns, or raises, when it is done in `namespace`."""

    def enter_and_work() -> _T:
        _call("setns", namespace, _CLONE_NEWNET)
        return work()

    return _in_a_thread(enter_and_work)


def _in_a_thread(work: Callable[[], _T]) -> _T:
    results: list[_T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - it is raised below, where somebody waits for it
            errors.append(error)

    thread = threading.Thread(target=run, name="netns")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _call(name: str, *arguments: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments) != 0:
        number = ctypes.get_errno()
        kind = PermissionDeniedError if number == 1 else HostError
        raise kind(f"a network namespace cannot be had: {os.strerror(number)}", hint="run it with sudo")
