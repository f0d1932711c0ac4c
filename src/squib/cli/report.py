"""How an error looks: what and why, the detail, the remedy; on standard error, and the exit code with it."""

from __future__ import annotations

import sys
from typing import NoReturn

from squib.errors import SquibError

__all__ = ["exit_with", "show_error"]


def show_error(error: SquibError) -> None:
    """Writes the error to standard error."""
    lines = [f"squib: {error}"]
    lines += [f"  | {line}" for line in error.detail.splitlines()]
    if error.hint:
        lines.append(f"  try: {error.hint}")
    print("\n".join(lines), file=sys.stderr)


def exit_with(error: SquibError) -> NoReturn:
    """Shows the error and exits with its code."""
    show_error(error)
    raise SystemExit(error.exit_code)
