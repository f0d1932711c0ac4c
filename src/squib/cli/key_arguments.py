"""`[APPLIANCE] [--KEY VALUE]...`: what `squib run` leaves over when its own options are taken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from squib.errors import UsageError

__all__ = ["split_arguments"]


def split_arguments(arguments: Sequence[str]) -> tuple[str | None, tuple[tuple[str, str], ...]]:
    """The appliance, or None, and the pairs of key and text. Raises UsageError; whether a key exists is checked later."""
    selector: str | None = None
    pairs: list[tuple[str, str]] = []
    rest = iter(arguments)
    for word in rest:
        if word.startswith("--"):
            pairs.append(_pair(word, rest))
        elif word.startswith("-") and word != "-":
            raise UsageError(f"unknown option {word}", hint="squib run --help")
        elif selector is None:
            selector = word
        else:
            raise UsageError(f"one appliance at a time: {selector} and {word}", hint="a key's value goes as --KEY VALUE")
    return selector, tuple(pairs)


def _pair(word: str, rest: Iterator[str]) -> tuple[str, str]:
    name, equals, value = word[2:].partition("=")
    if not equals:
        following = next(rest, None)
        if following is None:
            raise UsageError(
                f"option --{name} is unknown, or lacks its value", hint=f"a key goes as --{name} VALUE; squib run --help"
            )
        value = following
    return name, value
