"""Values for an appliance's keys, as typed by a person: checked before anything boots.

The guest checks them again by its own code; a test holds both to the same words.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import assert_never

from squib.errors import UsageError
from squib.model.appliance import Appliance, Key, KeyType

__all__ = ["GUEST_OPTIONS", "check_value", "key_values"]

GUEST_OPTIONS = frozenset({"logs"})
"""The server program's own options that `squib run` passes on; the guest checks them."""

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")


def key_values(appliance: Appliance, pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """`pairs` of name and text as a mapping. Raises UsageError: unknown, repeated, or not of the key's type."""
    keys = {key.name: key for key in appliance.keys}
    keys.setdefault("port", Key("port", KeyType.PORT, 80, ""))
    values: dict[str, str] = {}
    for name, text in pairs:
        if name in values:
            raise UsageError(f"option --{name} stands twice")
        if name in keys:
            check_value(keys[name], text)
        elif name not in GUEST_OPTIONS:
            near = difflib.get_close_matches(name, [*keys, *GUEST_OPTIONS], n=1)
            known = ", ".join(f"--{key}" for key in sorted(keys))
            raise UsageError(
                f"unknown option --{name}",
                hint=f"did you mean --{near[0]}?" if near else f"the keys of {appliance.name}: {known}",
            )
        values[name] = text
    return values


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
        raise UsageError(f"option --{key.name}: expected {expected}, got {text!r}")
