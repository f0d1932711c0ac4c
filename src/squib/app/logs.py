"""What a machine's console has said: all that is kept of it, and what comes.

A guest may have written anything, up to the console's bound (docs/decisions/0009). So it is read a piece at a time, and its
last lines are looked for from the end: what is in memory at once is bounded, and so is the work for the last few lines.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from squib.app.ending import with_process
from squib.app.passages import Passage, Splitter
from squib.errors import MissingError
from squib.host.follow import Follower
from squib.host.process import Handle
from squib.store import Machine, Store
from squib.vmm.run_dir import CONSOLE, rotate_console

__all__ = ["Selection", "follow", "recorded"]

_LOOK_S = 0.1
_AGAIN_S = 2.0
"""A machine that is restarted has ended for a moment: so long it is waited for."""
_READ = 1 << 20
"""Bytes that are in memory at once."""
_NEAR = 1 << 16
"""The last lines are looked for in so many bytes first."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which lines are wanted: those since a Unix time, and of these the last `newest`; None: all."""

    since: float | None = None
    newest: int | None = None


def recorded(machine: Machine, wanted: Selection) -> Iterator[Passage]:
    """What the console of `machine` has said since it was started last, as far as it is kept.

    Raises MissingError where it has no console (yet), StorageError and its like.
    """
    with Follower(machine.run_dir / CONSOLE, older=True) as follower:
        yield from _kept(follower, _Reading(follower, _began(machine), wanted.since, to_its_end=True), wanted.newest)


def follow(store: Store, machine: Machine, wanted: Selection) -> Iterator[Passage]:
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


def _one_life(machine: Machine, wanted: Selection) -> Iterator[Passage]:
    """From one start of the machine to its end."""
    console = machine.run_dir / CONSOLE
    process = None if machine.process is None else Handle.open(machine.process)
    with contextlib.ExitStack() as stack:
        follower = stack.enter_context(Follower(console, older=True))
        reading = _Reading(follower, _began(machine), wanted.since, to_its_end=process is None)
        yield from _kept(follower, reading, wanted.newest)
        if process is None:  # it has ended
            return
        stack.enter_context(process)
        ended = False
        while not ended:
            ended, before = follower.wait(process, _LOOK_S), follower.place
            yield from reading.passages()
            if follower.place != before:
                rotate_console(console)
        yield from reading.rest()


@dataclass(slots=True)
class _Reading:
    """Reads what there is now, and then what came since; `to_its_end`: a last line without its end counts already."""

    follower: Follower
    begin: float | None
    since: float | None
    to_its_end: bool
    inside: bool = False
    _splitter: Splitter = field(init=False)

    def __post_init__(self) -> None:
        self.anew()

    def anew(self) -> None:
        """From where the follower is."""
        self._splitter = Splitter(None if self.inside else self.begin, inside=self.inside)

    def passages(self) -> Iterator[Passage]:
        """All up to now that is wanted."""
        while data := self.follower.read(_READ):
            yield from filter(self._wanted, self._splitter.feed(data))
        if self.to_its_end:
            yield from self.rest()

    def rest(self) -> Iterator[Passage]:
        """The last line, where it has no end."""
        return filter(self._wanted, self._splitter.end())

    def _wanted(self, passage: Passage) -> bool:
        return self.since is None or (passage.at is not None and passage.at >= self.since)


def _kept(follower: Follower, reading: _Reading, newest: int | None) -> Iterator[Passage]:
    """What the reading finds now, or the last `newest` lines of it: they are counted first, and then read once more."""
    if newest is None:
        yield from reading.passages()
        return
    size = sys.maxsize if reading.since is not None else _NEAR
    while True:
        reading.inside = not follower.to_last(size)
        place = follower.place
        reading.anew()
        count = sum(passage.count for passage in reading.passages())
        if count >= newest or not reading.inside:
            break
        size *= 8
    follower.back_to(place)
    reading.anew()
    yield from _between(reading.passages(), max(0, count - newest), count if reading.to_its_end else sys.maxsize)


def _between(passages: Iterator[Passage], begin: int, end: int) -> Iterator[Passage]:
    """The lines from `begin` to `end`, counted from 0."""
    at = 0
    for one in passages:
        passage, first, at = one, at, at + one.count
        if at <= begin:
            continue
        if first < begin:
            passage, first = passage.without(begin - first), begin
        if at > end:
            if first < end:
                yield passage.only(end - first)
            return
        yield passage


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
