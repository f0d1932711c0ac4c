"""What a terminal may be sent: style where it knows any, and of a guest's text nothing that could command it."""

from __future__ import annotations

import os
import re
from typing import TextIO

__all__ = ["styled", "visible"]

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
