"""What a machine's console has said: all that is kept of it, and what comes, line by line.

The server's lines tell their time (squib.guest.logs); those of the kernel and PID 1 do not, and belong to the one before them.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from squib.app.ending import with_process
from squib.errors import MissingError
from squib.formats.lines import LineCutter
from squib.host.follow import Follower
from squib.host.process import Handle
from squib.store import Machine, Store
from squib.vmm.run_dir import CONSOLE, rotate_console

__all__ = ["Line", "Selection", "Source", "Splitter", "follow", "recorded", "selected"]

_LOOK_S = 0.1
_AGAIN_S = 2.0
"""A machine that is restarted has ended for a moment: so long it is waited for."""
_STAMP = re.compile(rb"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) \+00:00: (?:APP|ERR|WRN|INF|DBG) \[")


class Source(StrEnum):
    """Who wrote a line: the server's log; PID 1, for the host or for people; anybody else, most of all the kernel."""

    SERVER = "server"
    INIT = "init"
    CONSOLE = "console"


@dataclass(frozen=True, slots=True)
class Line:
    """One line: `raw` as it is, with its end where it has one.

    `at` is Unix time: the line's own or, `own_time` false, that of the stamped line before; None where there was none.
    """

    raw: bytes
    source: Source
    at: float | None
    own_time: bool


@dataclass(frozen=True, slots=True)
class Selection:
    """Which lines are wanted: those since a Unix time, and of these the last `newest`; None: all."""

    since: float | None = None
    newest: int | None = None


class Splitter:
    """Makes lines of a console's bytes, cut anywhere; `begin` is the time of what comes before the first stamp."""

    def __init__(self, begin: float | None = None) -> None:
        self._at = begin
        self._lines = LineCutter()

    def feed(self, data: bytes) -> Iterator[Line]:
        """The lines that `data` completes. An endless one is cut after 64 KiB."""
        yield from map(self._line, self._lines.feed(data))

    def end(self) -> Iterator[Line]:
        """The last line, where it has no end."""
        if rest := self._lines.end():
            yield self._line(rest)

    def _line(self, raw: bytes) -> Line:
        line = _line(raw, self._at)
        self._at = line.at
        return line


def _line(raw: bytes, before: float | None) -> Line:
    match = _STAMP.match(raw)
    if match is not None:
        try:
            at = datetime.strptime(match[1].decode(), "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
        except ValueError:  # no such day: somebody else's line
            return Line(raw, Source.CONSOLE, before, own_time=False)
        return Line(raw, Source.SERVER, at, own_time=True)
    return Line(raw, Source.INIT if raw.startswith((b"squib.", b"squib: ")) else Source.CONSOLE, before, own_time=False)


def selected(found: Iterable[Line], wanted: Selection) -> Iterator[Line]:
    """Those of `found` that are wanted. Where the last ones are, nothing comes before all are there."""
    if wanted.since is not None:
        since = wanted.since
        found = (line for line in found if line.at is not None and line.at >= since)
    return iter(found if wanted.newest is None else deque(found, maxlen=wanted.newest))


def recorded(machine: Machine, wanted: Selection) -> Iterator[Line]:
    """What the console of `machine` has said since it was started last, as far as it is kept.

    Raises MissingError where it has no console (yet), StorageError and its like.
    """
    splitter, console = Splitter(_began(machine)), machine.run_dir / CONSOLE
    with Follower(console, older=True) as follower:
        data = follower.read()
    return selected(itertools.chain(splitter.feed(data), splitter.end()), wanted)


def follow(store: Store, machine: Machine, wanted: Selection) -> Iterator[Line]:
    """As `recorded`, and then what comes, until the machine has ended and is not started again at once, or is removed.

    After a restart the new console is told from its beginning. Raises as `recorded` does.
    """
    while (found := _with_process(store, machine)) is not None:
        yield from _one_life(found, wanted)
        wanted = replace(wanted, newest=None)
        again = _started_again(store, found)
        if again is None:
            return
        machine = again


def _one_life(machine: Machine, wanted: Selection) -> Iterator[Line]:
    """From one start of the machine to its end."""
    splitter, console = Splitter(_began(machine)), machine.run_dir / CONSOLE
    process = None if machine.process is None else Handle.open(machine.process)
    with contextlib.ExitStack() as stack:
        follower = stack.enter_context(Follower(console, older=True))
        if process is None:  # it has ended
            yield from selected(itertools.chain(splitter.feed(follower.read()), splitter.end()), wanted)
            return
        stack.enter_context(process)
        yield from selected(splitter.feed(follower.read()), wanted)
        coming, ended = replace(wanted, newest=None), False
        while not ended:
            ended = follower.wait(process, _LOOK_S)
            if data := follower.read():
                rotate_console(console)
                yield from selected(splitter.feed(data), coming)
        yield from selected(splitter.end(), coming)


def _with_process(store: Store, machine: Machine) -> Machine | None:
    """`machine` once it has a VMM, or has ended; None where it is removed."""
    try:
        return with_process(store, machine, float("inf"))
    except MissingError:
        return None


def _started_again(store: Store, before: Machine) -> Machine | None:
    """The machine in its next life, where somebody restarts it; None where nobody does."""
    deadline = time.monotonic() + _AGAIN_S
    while (found := store.find(before.id)) is not None:
        if found.restarts != before.restarts:
            return found
        if time.monotonic() >= deadline:
            return None
        time.sleep(_LOOK_S)
    return None


def _began(machine: Machine) -> float | None:
    """When it was started last, as far as that is known."""
    if machine.ready_ms is not None and machine.boot_ms is not None:
        return (machine.ready_ms - machine.boot_ms) / 1000
    return None if machine.restarts else machine.created_ms / 1000
