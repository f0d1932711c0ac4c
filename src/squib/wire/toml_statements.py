"""A TOML text cut into its statements, in one pass over it, with no parser.

A statement is a header, or a key with its value, over as many lines as that takes; each is TOML by itself. Strings and
comments are told apart as TOML 1.0 says; of a text that is not TOML this holds up to its first mistake.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Statement", "statements"]

# Each alternative takes all that it looks at, also where its end is missing: so the whole takes time in proportion to the text.
_TOKEN = re.compile(
    r"""
      \"{3} (?: [^"\\]++ | \\. | "{1,2}(?!") )*+ "{0,5}
    | '{3} (?: [^']++ | '{1,2}(?!') )*+ '{0,5}
    | " (?: [^"\\\n]++ | \\[^\n] )*+ "?
    | ' [^'\n]*+ '?
    | [#][^\n]*+
    | [\n\[\]{}=,.]
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Statement:
    """`line` is its first, from 1; `key_parts` the most parts that a dotted key in it has."""

    line: int
    text: str
    key_parts: int


def statements(text: str) -> Iterator[Statement]:
    """All statements of `text`, in its order."""
    start, line, ends_line = 0, 1, 1
    depth = dots = most = 0
    for token in _TOKEN.finditer(text):
        match text[token.start()]:
            case "\n" if depth <= 0:
                yield from _statement(text[start : token.start()], line, most + 1)
                ends_line += 1
                start, line, depth, dots, most = token.end(), ends_line, 0, 0, 0
            case "\n":
                ends_line += 1
                dots = 0
            case "[" | "{":
                depth, dots = depth + 1, 0
            case "]" | "}":
                depth, dots = depth - 1, 0
            case "=" | ",":
                dots = 0
            case ".":
                dots += 1
                most = max(most, dots)
            case _:
                ends_line += token[0].count("\n")
    yield from _statement(text[start:], line, most + 1)


def _statement(text: str, line: int, key_parts: int) -> Iterator[Statement]:
    stripped = text.strip(" \t\r")
    if stripped and not stripped.startswith("#"):
        yield Statement(line, stripped, key_parts)
