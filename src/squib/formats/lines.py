"""Lines of bytes that come cut anywhere, as a console's do.

Whoever writes them is not trusted: no line is endless, and a flood of them costs little, so they come as blocks of many, and a
run of empty ones as its number. A block is whole lines, each with its line feed, or a part of a line that is too long to hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["MAX_LINE", "BlankLines", "Folder", "LineCutter"]

MAX_LINE = 1 << 16
"""Bytes of a line, without its line feed; what is longer is cut."""
_SHOWN = 3
"""So many empty lines in a row are just that; more are folded."""
_BLANK = b"\t\r \n"
_LEADING = re.compile(rb"[\t\r ]*\n[\t\r \n]*")
_INNER = re.compile(rb"\n(?:[\t\r ]*\n){%d}[\t\r \n]*" % (_SHOWN + 1))


class LineCutter:
    """Makes blocks of what it is fed; where that is cut makes no difference to the lines."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that `data` completes, in blocks."""
        end = data.rfind(b"\n") + 1
        if end:
            whole = bytes(self._rest) + data[:end]
            self._rest = bytearray(data[end:])
            yield from _blocks(whole)
        else:
            self._rest += data
        while len(self._rest) > MAX_LINE:
            yield bytes(self._rest[:MAX_LINE])
            del self._rest[:MAX_LINE]

    def end(self) -> bytes:
        """The last line, where it has no end; empty where there is none."""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest


def _blocks(whole: bytes) -> Iterator[bytes]:
    """Lines that are not too long stay together; the parts of one that is come each by itself."""
    begin = line = 0  # of what was not given yet; of the line that is looked at
    while line + MAX_LINE < len(whole):
        last = whole.rfind(b"\n", line, line + MAX_LINE + 1)
        if last >= 0:  # all up to there are short
            line = last + 1
            continue
        if begin < line:
            yield whole[begin:line]
        begin = whole.index(b"\n", line) + 1
        for part in range(line, begin - 1, MAX_LINE):
            yield whole[part : begin if part + MAX_LINE >= begin - 1 else part + MAX_LINE]
        line = begin
    if begin < len(whole):
        yield whole[begin:]


@dataclass(frozen=True, slots=True)
class BlankLines:
    """A run of `count` lines with nothing in them to see; `raw` as they are, None where they are too many to show."""

    count: int
    raw: bytes | None


class Folder:
    """Takes the runs of empty lines out of blocks: what begins or ends with one, and each that is too long to show."""

    def __init__(self) -> None:
        self._count = 0
        self._raw = b""

    def feed(self, block: bytes) -> Iterator[bytes | BlankLines]:
        """`block`, and a run of empty lines before it that ends here; one that it ends with is kept."""
        if not block.endswith(b"\n"):
            yield from self.end()
            yield block
            return
        leading = _LEADING.match(block)
        begin = block.rfind(b"\n", 0, leading.end()) + 1 if leading else 0
        self._keep(block[:begin])
        if begin == len(block):
            return
        yield from self.end()
        end = block.index(b"\n", len(block.rstrip(_BLANK))) + 1
        yield from _without_long_runs(block[begin:end])
        self._keep(block[end:])

    def end(self) -> Iterator[BlankLines]:
        """The run that is kept, if there is one."""
        if self._count:
            yield BlankLines(self._count, self._raw if self._count <= _SHOWN else None)
        self._count, self._raw = 0, b""

    def _keep(self, blank: bytes) -> None:
        self._count += blank.count(b"\n")
        self._raw = self._raw + blank if self._count <= _SHOWN else b""


def _without_long_runs(lines: bytes) -> Iterator[bytes | BlankLines]:
    begin = 0
    for found in _INNER.finditer(lines):
        run, end = found.start() + 1, lines.rfind(b"\n", 0, found.end()) + 1
        yield lines[begin:run]
        yield BlankLines(lines.count(b"\n", run, end), None)
        begin = end
    yield lines[begin:]
