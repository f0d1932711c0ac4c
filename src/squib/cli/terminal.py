"""What a terminal is sent: style where it knows any, and of all other text nothing that could command it.

All that squib prints goes through here: `escaping` sees to it, and a test that no other module goes past it.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from squib.cli.escaping import escaped, visible
from squib.cli.report import silence
from squib.formats.lines import LineCutter

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["VisibleLines", "console", "escaping", "pass_on", "styled", "visible"]


def styled(stream: TextIO) -> bool:
    """Whether `stream` is a terminal with bold and cursor movement; TERM unset or `dumb` says that it has neither.

    NO_COLOR (no-color.org) is about colour only: rich drops colours then, and keeps bold and the width.
    """
    return stream.isatty() and os.environ.get("TERM", "dumb") not in {"", "dumb"}


class _Escaping(io.TextIOWrapper):
    """A standard stream of which whatever is printed arrives `escaped`; `plain` is the stream itself."""

    def __init__(self, plain: TextIO) -> None:
        super().__init__(
            plain.buffer,
            encoding=plain.encoding,
            errors="backslashreplace",
            line_buffering=plain.isatty(),
            write_through=True,
        )
        self.plain = plain

    def write(self, text: str) -> int:
        super().write(escaped(text))
        return len(text)


@contextlib.contextmanager
def escaping() -> Iterator[None]:
    """While it lasts nothing that is printed commands the terminal, whoever prints it, and from wherever the text comes.

    There are two ways past it: `console`, which styles text, and `pass_on`, for data.
    """
    was = sys.stdout, sys.stderr
    now = _Escaping(was[0]), _Escaping(was[1])
    sys.stdout, sys.stderr = now
    try:
        yield
    finally:
        sys.stdout, sys.stderr = was
        for stream in now:
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
            with contextlib.suppress(OSError, ValueError):
                stream.detach()  # what is below is not closed with it


def console(stream: TextIO) -> Console:
    """rich's, for text in `squib`'s own style, which must be `escaped` before; nothing in it is markup."""
    from rich.console import Console

    return Console(file=getattr(stream, "plain", stream), highlight=False, markup=False, emoji=False)


def pass_on(data: bytes, *, at_once: bool = True) -> None:
    """Data to standard output as it is: a console's bytes, a document.

    A terminal whose window was closed fails with EIO, and a SIGHUP comes with it: what follows goes nowhere then, and raises
    nothing, so that the guest is stopped as it should be.
    """
    try:
        sys.stdout.buffer.write(data)
        if at_once:
            sys.stdout.buffer.flush()
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        silence(sys.stdout)


class VisibleLines:
    """Makes lines for a terminal of a console's bytes, cut anywhere."""

    def __init__(self) -> None:
        self._lines = LineCutter()

    def feed(self, data: bytes) -> bytes:
        """The lines that `data` completes, visible; an endless one is cut after 64 KiB."""
        return "".join(map(visible, self._lines.feed(data))).encode()
