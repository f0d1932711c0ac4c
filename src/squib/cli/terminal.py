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

# C0, DEL, C1, and the marks that turn the direction of text or
# begin a line (Unicode, UAX #9 and #14); tab and line feed stay.
_RANGES = (
    (0x00, 0x08), (0x0B, 0x1F), (0x7F, 0x9F), (0x61C, 0x61C), (0x200E, 0x200F), (0x2028, 0x202E), (0x2066, 0x2069)
)  # fmt: skip
_UNSEEN = re.compile("[" + "".join(f"{chr(first)}-{chr(last)}" for first, last in _RANGES) + "]")
_SHOWN = {code: ascii(chr(code))[1:-1] for first, last in _RANGES for code in range(first, last + 1)}


def styled(stream: TextIO) -> bool:
    """Whether `stream` is a terminal with bold and cursor movement; TERM unset or `dumb` says that it has neither.

    NO_COLOR (no-color.org) is about colour only: rich drops colours then, and keeps bold and the width.
    """
    return stream.isatty() and os.environ.get("TERM", "dumb") not in {"", "dumb"}


def visible(raw: bytes) -> str:
    r"""Lines for a terminal: what is not printable, or not UTF-8, as `\x1b`: a guest must not send it commands."""
    text = raw.replace(b"\r\r\n", b"\n").replace(b"\r\n", b"\n").decode("utf-8", "backslashreplace")
    return text.translate(_SHOWN) if _UNSEEN.search(text) else text


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
