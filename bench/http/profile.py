"""`python -m bench.http.profile`: where the reading of a request goes, in nanoseconds, step by step.

What a request costs beyond the kernel's read and write. Each step is timed alone, in this process, the least of many runs: the
steps do not add up to the whole, which has the calls between them, too.
"""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable

from bench.table import Table, to_terminal
from squib.guest import head as heads
from squib.guest.answering import Answering
from squib.guest.clock import answer
from squib.guest.grammar import request_line
from squib.guest.limits import Limits
from squib.guest.logs import Logs

_NUMBER, _REPEAT = 1_000, 200  # short ones: some of them are left alone by whatever else runs
_LINE = b"GET /items/7919?page=1&q=9e3779b1 HTTP/1.1"
_ONE = b"Host: 127.0.0.1:8080\r\n"
_TWELVE = _ONE + b"".join(b"X-Header-%d: %s\r\n" % (n, b"value " * 5) for n in range(11))


def main() -> None:
    """Prints the table."""
    columns = [_steps(lines) for lines in (_ONE, _TWELVE)]
    rows = [(step, *(f"{_ns(column[step]):.0f}" for column in columns)) for step in columns[0]]
    print(to_terminal(Table("Reading a request", ("ns", "one header", "twelve"), rows)))


def _steps(lines: bytes) -> dict[str, Callable[[], object]]:
    head = b"%s\r\n%s\r\n" % (_LINE, lines)
    reader = heads.HeadReader(Limits())
    asked = Answering(answer, {}, Logs(()).source("http"))
    folded = head.translate(heads._FOLD)  # noqa: SLF001 - what is measured is what is there

    limits = Limits()

    def unknown() -> None:
        heads.HeadReader(limits).read(head)

    unlike = [head[:-4] + b"?\r\n\r\n", head] if lines is not _ONE else [head, head]

    def like_known() -> None:
        unlike.reverse()
        reader.read(unlike[0])

    known = asked.usual(head, reader)
    again = bytes(bytearray(head))
    return {
        "all of it, the same request again": lambda: known if again == head else None,
        "all of it, header lines known": lambda: asked.usual(head, reader),
        "  its head": lambda: reader.read(head),
        "  its head, a value differs": like_known,
        "  its head, header lines unknown": unknown,
        "    request line": lambda: request_line(_LINE),
        "    lower case, control characters": lambda: head.translate(heads._FOLD),  # noqa: SLF001 - what is measured is what is there
        "    lines": head.splitlines,
        "    fields for the framing": lambda: heads._has_only_a_host(folded),  # noqa: SLF001
        "    llhttp": lambda: heads._llhttp_agrees(lines + b"\r\n"),  # noqa: SLF001
    }


def _ns(step: Callable[[], object]) -> float:
    return min(timeit.repeat(step, timer=time.process_time, number=_NUMBER, repeat=_REPEAT)) / _NUMBER * 1e9


if __name__ == "__main__":
    main()
