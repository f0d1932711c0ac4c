"""Whether what is printed is looked at by a person on a terminal that knows more than lines of text."""

from __future__ import annotations

import os
from typing import TextIO

__all__ = ["styled"]


def styled(stream: TextIO) -> bool:
    """Whether `stream` is a terminal with bold and cursor movement; TERM unset or `dumb` says that it has neither.

    NO_COLOR (no-color.org) is about colour only: rich drops colours then, and keeps bold and the width.
    """
    return stream.isatty() and os.environ.get("TERM", "dumb") not in {"", "dumb"}
