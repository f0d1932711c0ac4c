"""What a terminal may be sent: style where it knows any, and of a guest's text nothing that could command it."""

from __future__ import annotations

import errno
import os
import re
import sys
from typing import TextIO

from squib.cli.report import silence
from squib.formats.lines import LineCutter

__all__ = ["VisibleLines", "pass_on", "styled", "visible"]

# C0, DEL, C1, and the marks that turn the direction of text (Unicode, UAX #9); the tab stays, the line's end is not asked.
_UNSEEN = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def styled(stream: TextIO) -> bool:
    """Whether `stream` is a terminal with bold and cursor movement; TERM unset or `dumb` says that it has neither.

    NO_COLOR (no-color.org) is about colour only: rich drops colours then, and keeps bold and the width.
    """
    return stream.isatty() and os.environ.get("TERM", "dumb") not in {"", "dumb"}


def visible(raw: bytes) -> str:
    r"""A line for a terminal: what is not printable, or not UTF-8, as `\x1b`: a guest must not send it commands."""
    end = "\n" if raw.endswith(b"\n") else ""
    text = raw.rstrip(b"\r\n").decode("utf-8", "backslashreplace")
    return _UNSEEN.sub(lambda match: ascii(match[0])[1:-1], text) + end


def pass_on(data: bytes) -> None:
    """A console's bytes, to standard output.

    A terminal whose window was closed fails with EIO, and a SIGHUP comes with it: what follows goes nowhere then, and raises
    nothing, so that the guest is stopped as it should be.
    """
    try:
        sys.stdout.buffer.write(data)
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
