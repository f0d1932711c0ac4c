"""A TOML text that can point at a line of itself: errors in the user's terms.

TOML parsers give no line for a key that is well-formed and wrong. This asks the parser itself about longer and longer
beginnings of the text, so every spelling of a key is found.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from squib.errors import ApplianceError
from squib.model.near import did_you_mean

__all__ = ["KeyPath", "TomlSource", "descend"]

KeyPath = tuple[str | int, ...]

_BYTE_ORDER_MARK = "\ufeff"
"""What some editors, mostly on Windows, write before UTF-8; TOML has no place for it."""

_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>[^`]*)`")
_REQUIRED = re.compile(r"Object missing required field `(?P<field>[^`]*)`")
_CHOICE = re.compile(r"Invalid enum value (?P<value>.*)")
_AT = re.compile(r" - at `(?:key in )?\$(?P<path>[^`]*)`$")
_PLACE = re.compile(r" \(at (?:line (?P<line>\d+), column \d+|end of document)\)")


def descend(document: object, names: Iterable[str]) -> object | None:
    """What stands below `names` in a TOML document, or None."""
    for name in names:
        if not isinstance(document, Mapping) or name not in document:
            return None
        document = document[name]
    return document


@dataclass(frozen=True, slots=True)
class TomlSource:
    """A TOML `text`, the `path` it was read from, and the `table` in it that is ours (() for the whole)."""

    path: Path
    text: str
    table: tuple[str, ...]

    def parse(self) -> dict[str, Any]:
        """The whole document. Raises ApplianceError with the line where the text is not TOML."""
        if self.text.startswith(_BYTE_ORDER_MARK):
            raise ApplianceError(
                f"{self.path}:1: not TOML: it begins with a byte order mark", hint="save it as UTF-8 without one"
            )
        try:
            return tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            message = str(error)
            place = _PLACE.search(message)
            line = place["line"] if place and place["line"] else self.text.count("\n") + 1
            reason = message[: place.start()] if place else message
            raise ApplianceError(f"{self.path}:{line}: not TOML: {reason}", hint="the format: toml.io") from error

    def error(self, key: KeyPath, message: str, *, hint: str = "") -> ApplianceError:
        """An error about `key` (below our table), with its line."""
        dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).lstrip(".")
        return ApplianceError(f"{self.path}:{self.line_of(key)}: {dotted + ': ' if dotted else ''}{message}", hint=hint)

    def line_of(self, key: KeyPath) -> int:
        """The first line after which `key` is in the document; for a key that is not there, the line of its table."""
        lines = self.text.splitlines(keepends=True)
        names = (*self.table, *(part for part in key if isinstance(part, str)))
        while names:
            for count in range(1, len(lines) + 1):
                try:
                    if descend(tomllib.loads("".join(lines[:count])), names) is not None:
                        return count
                except tomllib.TOMLDecodeError:
                    continue  # in the middle of a value of several lines
            names = names[:-1]
        return 1

    def shape_error(self, message: str, struct: type[msgspec.Struct]) -> ApplianceError:
        """A message of msgspec about `struct` in the user's terms: line, key, and what would have been right."""
        at = _AT.search(message)
        what = message[: at.start()] if at else message
        key, inner = self._locate(at["path"] if at else "", what, struct)
        known = list(inner.__struct_fields__)
        if unknown := _UNKNOWN.search(what):
            meant = did_you_mean(unknown["field"], known, '"{}"') or "; expected one of " + ", ".join(known)
            return self.error((*key, unknown["field"]), f"unknown key{meant}")
        if required := _REQUIRED.search(what):
            return self.error(key, f'the key "{required["field"]}" is missing', hint=f"the keys here: {', '.join(known)}")
        if choice := _CHOICE.search(what):
            choices = ", ".join(map(str, get_args(get_type_hints(inner)[str(key[-1])])))
            return self.error(key, f"expected one of {choices}, got {choice['value']}")
        return self.error(key, what[0].lower() + what[1:], hint=_example(inner, key))

    def _locate(self, text: str, what: str, struct: type[msgspec.Struct]) -> tuple[KeyPath, type[msgspec.Struct]]:
        """`.keys[...].default` → ("keys", "port", "default") and the struct around it.

        msgspec hides a mapping's key (`[...]`), so the entries are tried until one fails with the same words.
        """
        path: list[str | int] = []
        hint: Any = struct
        for name, index, hidden in re.findall(r"\.([A-Za-z_-]+)|\[(\d+)\]|(\[\.\.\.\])", text):
            if hidden:
                hint = get_args(hint)[1]
                path.append(self._wrong_entry(path, what, hint))
            elif index:
                path.append(int(index))
            else:
                path.append(name)
                hint = _present(get_type_hints(struct).get(name, hint))
            if get_origin(hint) is None and isinstance(hint, type) and issubclass(hint, msgspec.Struct):
                struct = hint
        return tuple(path), struct

    def _wrong_entry(self, parent: list[str | int], what: str, struct: type[msgspec.Struct]) -> str:
        entries = descend(tomllib.loads(self.text), (*self.table, *map(str, parent)))
        for name, entry in entries.items() if isinstance(entries, Mapping) else ():
            try:
                msgspec.convert(entry, struct)
            except msgspec.ValidationError as error:
                if what in str(error):
                    return str(name)
        return "?"


def _example(struct: type[msgspec.Struct], key: KeyPath) -> str:
    """The line that sets the last of `key` to its default, where `struct` has that and it is a text; else nothing."""
    for field in msgspec.structs.fields(struct):
        if key and field.name == key[-1] and isinstance(field.default, str) and field.default:
            return f'for example {field.name} = "{field.default}"'
    return ""


def _present(hint: Any) -> Any:
    """The type in `X | None`: what is there is no None."""
    inner = [part for part in get_args(hint) if part is not type(None)]
    return inner[0] if get_origin(hint) is UnionType and len(inner) == 1 else hint
