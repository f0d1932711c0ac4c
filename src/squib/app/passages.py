"""A console's bytes as passages: lines in a row that belong together in time, with whose each is.

The server's lines tell their time (squib.guest.logs); those of the kernel and PID 1 do not, and belong to the one before them.
A guest may have written anything: passages are of many lines, so that a flood of them costs little. Pure: bytes in, values out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from squib.formats.lines import BlankLines, Folder, LineCutter

__all__ = ["Line", "Passage", "Source", "Splitter"]

_STAMP = re.compile(rb" \+00:00: (?:APP|ERR|WRN|INF|DBG) \[")
_DATE = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_DATE_BYTES = 19


class Source(StrEnum):
    """Who wrote a line: the server's log; PID 1, for the host or for people; anybody else, most of all the kernel.

    SQUIB: squib itself, of lines that it leaves out.
    """

    SERVER = "server"
    INIT = "init"
    CONSOLE = "console"
    SQUIB = "squib"


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
class Passage:
    """`count` lines in a row, or a part of an endless one, of which no line but the first has a time of its own.

    `at` and `own_time` are the first line's; `told`: it stands for lines that are left out.
    """

    raw: bytes
    count: int
    at: float | None
    own_time: bool = False
    told: bool = False

    def lines(self) -> Iterator[Line]:
        """Each by itself."""
        own_time = self.own_time
        for raw in (self.raw,) if self.count == 1 else re.findall(rb"[^\n]*\n", self.raw):
            yield Line(raw, self._source(raw, own_time=own_time), self.at, own_time)
            own_time = False

    def _source(self, raw: bytes, *, own_time: bool) -> Source:
        if self.told:
            return Source.SQUIB
        if own_time:
            return Source.SERVER
        return Source.INIT if raw.startswith((b"squib.", b"squib: ")) else Source.CONSOLE

    def without(self, count: int) -> Passage:
        """What follows the first `count` lines of it, of which there are more."""
        end = 0
        for _ in range(count):
            end = self.raw.index(b"\n", end) + 1
        return Passage(self.raw[end:], self.count - count, self.at)

    def only(self, count: int) -> Passage:
        """The first `count` lines of it, of which there are more."""
        rest = self.without(count)
        return replace(self, raw=self.raw[: -len(rest.raw)], count=count)


class Splitter:
    """Makes passages of a console's bytes, cut anywhere; `begin` is the time of what comes before the first stamp.

    `inside`: the bytes begin in the middle of a line, which is left out, with the empty lines behind it.
    """

    def __init__(self, begin: float | None = None, *, inside: bool = False) -> None:
        self._at = begin
        self._cutter = LineCutter()
        self._folder = Folder()
        self._inside = inside
        self._first = inside

    def feed(self, data: bytes) -> Iterator[Passage]:
        """The lines that `data` completes; empty ones at its end come with what follows them."""
        if self._inside:
            _, found, data = data.partition(b"\n")
            self._inside = not found
        for block in self._cutter.feed(data):
            for part in self._folder.feed(block):
                yield from self._passages(part)

    def end(self) -> Iterator[Passage]:
        """What is left, with the last line, where it has no end."""
        rest = self._cutter.end()
        for part in (*(self._folder.feed(rest) if rest else ()), *self._folder.end()):
            yield from self._passages(part)

    def _passages(self, part: bytes | BlankLines) -> Iterator[Passage]:
        first, self._first = self._first, False
        if not isinstance(part, BlankLines):
            yield from self._stamped(part)
        elif first:
            return
        elif part.raw is None:
            yield Passage(b"[%s empty lines are left out here]\n" % f"{part.count:,}".encode(), 1, self._at, told=True)
        else:
            yield Passage(part.raw, part.count, self._at)

    def _stamped(self, lines: bytes) -> Iterator[Passage]:
        begin, own_time = 0, False
        for found in _STAMP.finditer(lines):
            line = found.start() - _DATE_BYTES
            if line < begin or lines[line - 1 : line] not in {b"\n", b""}:
                continue
            at = _moment(lines[line : found.start()])
            if at is None:  # no such day: somebody else's line
                continue
            if begin < line:
                yield self._passage(lines[begin:line], own_time=own_time)
            begin, own_time, self._at = line, True, at
        yield self._passage(lines[begin:], own_time=own_time)

    def _passage(self, raw: bytes, *, own_time: bool) -> Passage:
        return Passage(raw, raw.count(b"\n") or 1, self._at, own_time)


def _moment(text: bytes) -> float | None:
    if not _DATE.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.decode()).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
