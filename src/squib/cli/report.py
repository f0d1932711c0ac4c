"""How an error looks: what and why, the detail, the remedy; on standard error, and the exit code with it."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn, TextIO

from squib.cli.escaping import escaped, one_line
from squib.errors import SquibError

__all__ = ["complain", "exit_with", "open_what_is_closed", "show_error", "silence"]

_LONGEST = 2_000
"""Characters of a line that squib says."""


def show_error(error: SquibError) -> None:
    """Writes the error to standard error."""
    lines = [f"squib: {_shortened(one_line(str(error)))}"]
    lines += [f"  | {line}" for line in error.detail.splitlines()]
    if error.hint:
        lines.append(f"  try: {_shortened(one_line(error.hint))}")
    complain("\n".join(lines))


def _shortened(line: str) -> str:
    """`line` without its middle where it is very long, as where a file names a module of 5,000 parts."""
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST * 3 // 4]} … {line[-_LONGEST // 4 :]}"


def exit_with(error: SquibError) -> NoReturn:
    """Shows the error and exits with its code."""
    show_error(error)
    raise SystemExit(error.exit_code)


def complain(text: str) -> None:
    """Writes `text` to standard error; where that is full or closed, the exit code alone has to tell."""
    try:
        print(escaped(text), file=sys.stderr, flush=True)
    except BlockingIOError:  # whoever reads it is slow: what is held goes out with the next
        return
    except OSError:
        silence(sys.stderr)


def silence(stream: TextIO) -> None:
    """Lets go of what `stream` holds and could not write, so that Python does not try again at exit."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def open_what_is_closed() -> None:
    """Puts /dev/null in the place of each standard stream that squib was started without, as after `>&-`.

    Python has None for such a stream, and the next file that is opened would get its number.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            mode = "w" if number else "r"
            setattr(sys, name, os.fdopen(_nowhere_at(number), mode, encoding="utf-8", closefd=False))


def _nowhere_at(number: int) -> int:
    """A descriptor of /dev/null: `number`, so that children have it too, unless a file has that number already."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere == number or _is_open(number):
        os.set_inheritable(nowhere, True)
        return nowhere
    os.dup2(nowhere, number)
    os.close(nowhere)
    return number


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
