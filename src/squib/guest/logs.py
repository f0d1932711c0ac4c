"""The log: lines on standard error as `2026-11-23 23:02:22 +00:00: INF [http] listening on 8080/TCP`.

Lines are kept until `flush`, which the server calls once a turn of its loop: many requests, one write. A log must never stop
the server: where standard error is closed, lines are lost; where it is a pipe that nobody empties, they wait up to
`KEEP_BYTES`, then they are lost and counted, and the count is logged when there is room again. Standard error is not made
non-blocking, since it is shared with other processes: poll(2) is asked before each piece of at most PIPE_BUF bytes, which
a pipe with POLLOUT takes without blocking (pipe(7)). A terminal that was stopped with Ctrl-S does block, as it was asked to.
"""

from __future__ import annotations

import os
import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

APP, ERROR, WARNING, INFO, DEBUG = range(5)
QUIET = -1
LEVELS = {"quiet": QUIET, "error": ERROR, "warning": WARNING, "info": INFO, "debug": DEBUG}
DEFAULT_LEVEL = INFO
SOURCES = ("http", "app")
KEEP_BYTES = 64 * 1024
_TAGS = ("APP", "ERR", "WRN", "INF", "DBG")
_PIPE_BUF = select.PIPE_BUF

Threshold = tuple[str, int]
"""A source, or "*" for all, and its level."""


class Sink:
    """Where lines go: the descriptor `fd`."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        self._lost = 0

    def add(self, line: bytes) -> None:
        """Keeps a whole line for the next flush."""
        if self._kept_bytes + len(line) > KEEP_BYTES:
            self.flush()
            if self._kept_bytes + len(line) > KEEP_BYTES:
                self._lost += 1
                return
        self._kept.append(line)
        self._kept_bytes += len(line)

    def flush(self) -> None:
        """Writes what is kept, as far as that does not block."""
        if not self._kept:
            return
        data = b"".join(self._kept)
        written = self._write(data)
        self._kept = [data[written:]] if written < len(data) else []
        self._kept_bytes = len(data) - written
        if self._lost and not self._kept:
            lost, self._lost = self._lost, 0
            self.add(_line(time.time(), WARNING, "log", f"{lost} lines were lost: standard error was full"))

    def _write(self, data: bytes) -> int:
        """How many bytes need not be kept any more."""
        written = 0
        try:
            while written < len(data):
                ready = self._poll.poll(0)
                if not ready:
                    return written
                if ready[0][1] & ~select.POLLOUT:
                    return len(data)  # POLLERR, POLLHUP, POLLNVAL: nobody reads it
                written += os.write(self._fd, data[written : written + _PIPE_BUF])
        except BlockingIOError:
            return written
        except OSError:
            return len(data)
        return written


class Log:
    """One source's lines. `info` and `debug` say whether such lines are wanted, for those who would make many.

    `add_raw` logs a line that was made from `prefix`, with its end.
    """

    __slots__ = ("_level", "_sink", "_wall", "add_raw", "debug", "info", "source")

    def __init__(self, source: str, level: int, sink: Sink, wall: Callable[[], float]) -> None:
        self.source = source
        self._level = level
        self._sink = sink
        self._wall = wall
        self.add_raw = sink.add
        self.info = level >= INFO
        self.debug = level >= DEBUG

    def add(self, level: int, text: str) -> None:
        """Logs `text`, which may have several lines; each becomes one."""
        if level > self._level:
            return
        for part in text.splitlines():
            self._sink.add(_line(self._wall(), level, self.source, part))

    def error(self, text: str) -> None:
        """Something went wrong."""
        self.add(ERROR, text)

    def warning(self, text: str) -> None:
        """Something looks wrong."""
        self.add(WARNING, text)

    def prefix(self, second: int) -> bytes:
        """What stands before an info line's text at `second` of Unix time."""
        return _prefix(second, INFO, self.source).encode()


class Logs:
    """All sources' logs over one sink, with the thresholds that the user asked for."""

    def __init__(self, thresholds: Iterable[Threshold], fd: int = 2, wall: Callable[[], float] = time.time) -> None:
        self._thresholds = tuple(thresholds)
        self._sink = Sink(fd)
        self._wall = wall
        self.flush = self._sink.flush

    def source(self, name: str) -> Log:
        """The log of source `name`. Of several thresholds for it the last one counts; one by name beats `*`."""
        level = DEFAULT_LEVEL
        for wanted, found in self._thresholds:
            if wanted == "*":
                level = found
        for wanted, found in self._thresholds:
            if wanted == name:
                level = found
        return Log(name, level, self._sink, self._wall)

    def warn_of_unknown_sources(self) -> None:
        """A threshold for a source that nobody has is a slip of the pen, and no reason not to start."""
        log = self.source("log")
        for name, _ in self._thresholds:
            if name not in ("*", "log", *SOURCES):
                text = f"there is no log source {name}; there are {', '.join(SOURCES)}"
                log.warning(text)


def _prefix(second: int, level: int, source: str) -> str:
    at = time.gmtime(second)
    day = f"{at.tm_year:04d}-{at.tm_mon:02d}-{at.tm_mday:02d}"
    return f"{day} {at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d} +00:00: {_TAGS[level]} [{source}] "


def _line(now: float, level: int, source: str, text: str) -> bytes:
    return f"{_prefix(int(now), level, source)}{_one_line(text)}\n".encode("utf-8", "backslashreplace")


def _one_line(text: str) -> str:
    """`text` with whatever is not printable escaped, so that nobody forges a line or sends a terminal a command."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
