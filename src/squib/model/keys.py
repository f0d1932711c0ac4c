"""Values for an appliance's keys, as typed by a person: checked before anything boots.

The guest checks them again by its own code; a test holds both to the same words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import assert_never

from squib.errors import UsageError
from squib.model.appliance import Appliance, Key, KeyType
from squib.model.near import did_you_mean

__all__ = ["GUEST_OPTIONS", "all_keys", "check_value", "key_values"]

GUEST_OPTIONS = frozenset({"logs"})
"""The server program's own options that `squib run` passes on."""

_LEVELS = ("quiet", "error", "warning", "info", "debug")
"""As squib.guest.logs has them."""

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")


def all_keys(appliance: Appliance) -> tuple[Key, ...]:
    """The appliance's keys, with the port that every server has."""
    named = appliance.keys
    return named if any(key.name == "port" for key in named) else (Key("port", KeyType.PORT, 80, ""), *named)


def key_values(appliance: Appliance, pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """`pairs` of name and text as a mapping. Raises UsageError: unknown, repeated, or not of the key's type."""
    keys = {key.name: key for key in all_keys(appliance)}
    values: dict[str, str] = {}
    for name, text in pairs:
        if name in values:
            raise UsageError(f"option --{name} stands twice", hint="leave one of them out")
        if name in keys:
            check_value(keys[name], text)
        elif name not in GUEST_OPTIONS:
            meant = did_you_mean(name, (*keys, *GUEST_OPTIONS), "--{}")
            known = ", ".join(f"--{key}" for key in sorted(keys))
            raise UsageError(f"unknown option --{name}{meant}", hint=f"{appliance.name} has the keys {known}")
        else:
            _check_logs(text)
        values[name] = text
    return values


def _check_logs(text: str) -> None:
    for part in text.split(","):
        source, colon, level = part.rpartition(":")
        if level not in _LEVELS or (colon and not source) or not source.isprintable():
            raise UsageError(
                f"option --logs: expected LEVEL or SOURCE:LEVEL, got {text!r}{did_you_mean(level, _LEVELS)}",
                hint=f"a level is one of {', '.join(_LEVELS)}; several go with commas, as in info,http:debug",
            )


def check_value(key: Key, text: str) -> None:
    """Raises UsageError where `text` is no value for `key`."""
    match key.type:
        case KeyType.BOOL:
            right, expected = text in {"true", "false"}, "true or false"
        case KeyType.INT:
            right, expected = _WHOLE.fullmatch(text) is not None, "a whole number"
        case KeyType.PORT:
            right, expected = (
                text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535,
                "a port, 1 to 65535",
            )
        case KeyType.STRING:
            right, expected = "\0" not in text and text.isprintable(), "one line of text"
        case _:
            assert_never(key.type)
    if not right:
        raise UsageError(
            f"option --{key.name}: expected {expected}, got {text!r}", hint=f"--{key.name}: {key.doc}" if key.doc else ""
        )
