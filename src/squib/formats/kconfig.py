"""Kernel configurations (Documentation/kbuild/kconfig.rst): `.config` files, and fragments of them.

A line is `CONFIG_NAME=VALUE` or `# CONFIG_NAME is not set`; every other line that starts with `#` is a comment, and an empty
one is nothing. That a name is missing means the same as "is not set".
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from squib.errors import ApplianceError

__all__ = ["NOT_SET", "dropped", "line_of", "parse", "without"]

NOT_SET = "n"
"""What `# CONFIG_NAME is not set` says, as kconfig writes it elsewhere; a `.config` never holds `=n`."""

_SET = re.compile(r'(CONFIG_[A-Za-z0-9_]+)=(y|m|-?[0-9]+|0[xX][0-9A-Fa-f]+|"(?:[^"\\]|\\.)*")')
_UNSET = re.compile(r"# (CONFIG_[A-Za-z0-9_]+) is not set")


def parse(text: str, name: str) -> dict[str, str]:
    """Name → value as it is written, in the order of the lines. `name` is the file's, for errors.

    Raises ApplianceError for a line that is none of a configuration, and for a name that stands twice.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if match := _SET.fullmatch(line) or _UNSET.fullmatch(line):
            if match[1] in found:
                raise ApplianceError(f"{name}:{number}: {match[1]} stands twice", hint="leave one of the lines out")
            found[match[1]] = match[2] if match.re is _SET else NOT_SET
        elif line.strip() and not line.startswith("#"):
            raise ApplianceError(
                f"{name}:{number}: {line!a} is no line of a kernel configuration",
                hint="write CONFIG_NAME=y, CONFIG_NAME=VALUE or # CONFIG_NAME is not set",
            )
    return found


def line_of(symbol: str, value: str) -> str:
    """The line that says so."""
    return f"# {symbol} is not set" if value == NOT_SET else f"{symbol}={value}"


def dropped(wanted: Mapping[str, str], got: Mapping[str, str]) -> tuple[str, ...]:
    """The lines of `wanted` that did not take, with what came instead."""
    return tuple(
        f"{line_of(symbol, value)} (it is {line_of(symbol, got.get(symbol, NOT_SET))})"
        for symbol, value in wanted.items()
        if got.get(symbol, NOT_SET) != value
    )


def without(text: str, unset: re.Pattern[str]) -> str:
    """The configuration without those "is not set" lines whose name `unset` matches whole: kconfig then asks its defaults."""
    return "".join(
        line
        for line in text.splitlines(keepends=True)
        if not ((match := _UNSET.fullmatch(line.rstrip("\n"))) and unset.fullmatch(match[1]))
    )
