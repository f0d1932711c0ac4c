"""A terminal lent to a guest: every key goes through as it is, and the terminal is given back as it was, whatever happens."""

from __future__ import annotations

import contextlib
import os
import termios
import tty
from collections.abc import Iterator

__all__ = ["lent", "ours"]


def ours(descriptor: int) -> bool:
    """Whether that is a terminal, and this process is in its foreground: another one would be stopped when it touched it."""
    try:
        return os.isatty(descriptor) and os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:
        return False


@contextlib.contextmanager
def lent(descriptor: int) -> Iterator[None]:
    """No echo, no lines, no signals from keys (termios(3), cfmakeraw); but a line feed still ends a line, for squib's words."""
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        now = termios.tcgetattr(descriptor)
        now[1] |= termios.OPOST
        termios.tcsetattr(descriptor, termios.TCSANOW, now)
        yield
    finally:
        with contextlib.suppress(termios.error):  # it may be gone: its window was closed
            termios.tcsetattr(descriptor, termios.TCSANOW, before)
