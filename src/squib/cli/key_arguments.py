"""`[APPLIANCE] [--KEY VALUE]...`: what `squib run` leaves over when its own options are taken."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

import click

from squib.errors import UsageError

__all__ = ["own_options", "split_arguments"]


def own_options() -> tuple[str, ...]:
    """The long options of the command that is being run."""
    context = click.get_current_context()
    options = (name for param in context.command.get_params(context) for name in (*param.opts, *param.secondary_opts))
    return tuple(name for name in options if name.startswith("--"))


def split_arguments(arguments: Sequence[str], options: Sequence[str] = ()) -> tuple[str | None, tuple[tuple[str, str], ...]]:
    """The appliance, or None, and the pairs of key and text. Raises UsageError; whether a key exists is checked later.

    `options` are those of the command itself, one of which may have been meant.
    """
    selector: str | None = None
    pairs: list[tuple[str, str]] = []
    rest = iter(arguments)
    for word in rest:
        if word.startswith("--"):
            pairs.append(_pair(word, rest, options))
        elif word.startswith("-") and word != "-":
            raise UsageError(f"unknown option {word}", hint="squib run --help")
        elif selector is None:
            selector = word
        else:
            raise UsageError(f"one appliance at a time: {selector} and {word}", hint="a key's value goes as --KEY VALUE")
    return selector, tuple(pairs)


def _pair(word: str, rest: Iterator[str], options: Sequence[str]) -> tuple[str, str]:
    name, equals, value = word[2:].partition("=")
    if not equals:
        following = next(rest, None)
        if following is None:
            near = difflib.get_close_matches(word, options, n=1)
            meant = f"did you mean {near[0]}? " if near else ""
            raise UsageError(
                f"option {word} is unknown, or lacks its value", hint=f"{meant}a key goes as {word} VALUE; squib run --help"
            )
        value = following
    return name, value
