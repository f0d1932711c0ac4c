"""A TOML text that can point at a line of itself: errors in the user's terms.

TOML parsers give no line for a key that is well-formed and wrong. This asks the parser itself about one statement after the
other, so every spelling of a key is found. The text may be a stranger's: time and memory are in proportion to it.
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
from squib.wire.toml_statements import statements

__all__ = ["MAX_KEY_PARTS", "KeyPath", "TomlSource", "descend"]

KeyPath = tuple[str | int, ...]

MAX_KEY_PARTS = 16
"""Of a dotted key; tomllib takes time and memory by their square."""

_MAX_MESSAGE = 400
_HEAD, _TAIL = 240, 120
"""What is shown of a longer one: a key and a value may be as long as the file."""

_INT64 = 1 << 63
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
        for statement in statements(self.text):
            if statement.key_parts > MAX_KEY_PARTS:
                raise ApplianceError(
                    f"{self.path}:{statement.line}: a key of more than {MAX_KEY_PARTS} parts", hint="the limits: docs/limits.md"
                )
        try:
            return tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            message = str(error)
            place = _PLACE.search(message)
            line = place["line"] if place and place["line"] else self.text.count("\n") + 1
            reason = message[: place.start()] if place else message
            raise ApplianceError(f"{self.path}:{line}: not TOML: {reason}", hint="the format: toml.io") from error
        except RecursionError as error:
            raise ApplianceError(
                f"{self.path}: arrays or tables too deep within each other", hint="write it flatter"
            ) from error
        except ValueError as error:  # Python takes no number of thousands of digits
            raise ApplianceError(f"{self.path}: {error}", hint="whole numbers have 64 bits in TOML") from error

    def check_numbers(self, settings: object) -> None:
        """Raises ApplianceError for a whole number below our table that has more bits than TOML's."""
        waiting: list[tuple[KeyPath, object]] = [((), settings)]
        while waiting:
            key, value = waiting.pop()
            match value:
                case int() if not -_INT64 <= value < _INT64:
                    raise self.error(key, "a whole number has at most 64 bits")
                case dict():
                    waiting += (((*key, name), inner) for name, inner in value.items())
                case list():
                    waiting += (((*key, index), inner) for index, inner in enumerate(value))

    def error(self, key: KeyPath, message: str, *, hint: str = "") -> ApplianceError:
        """An error about `key` (below our table), with its line."""
        dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{_shortened(part)}" for part in key).lstrip(".")
        place = f"{self.path}:{self.line_of(key)}: {dotted + ': ' if dotted else ''}"
        return ApplianceError(place + _shortened(message), hint=_shortened(hint))

    def line_of(self, key: KeyPath) -> int:
        """The line of the statement that first names `key`; for a key that is not there, that of its table."""
        names = (*self.table, *(part for part in key if isinstance(part, str)))
        lines = [1]
        header: tuple[str, ...] = ()
        for statement in statements(self.text):
            opens_table = statement.text.startswith("[")
            if not opens_table and not _may_name(statement.text, names, header):
                continue
            try:
                document = tomllib.loads(statement.text)
            except ValueError:  # what `parse` refuses
                break
            if opens_table:
                header, document = _header(document), {}
            lines += [statement.line] * (_named(names, header, document) - len(lines) + 1)
            if len(lines) > len(names):
                break
        return lines[-1]

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


def _header(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The names in the header of a table; those of an array of tables count up to the array, since no key of ours is in one."""
    names: list[str] = []
    inner: object = document
    while isinstance(inner, Mapping) and inner:
        name, inner = next(iter(inner.items()))
        names.append(name)
    return tuple(names)


def _may_name(text: str, names: tuple[str, ...], header: tuple[str, ...]) -> bool:
    """Whether the key in `text`, which stands below `header`, can be one of `names`; without parsing it."""
    below = len(header) < len(names) and names[: len(header)] == header
    return below and (names[len(header)] in text or "\\" in text)


def _named(names: tuple[str, ...], header: tuple[str, ...], below: Mapping[str, Any]) -> int:
    """How many of `names` a document has that holds the table `header`, and `below` in it."""
    for count, (name, other) in enumerate(zip(names, header, strict=False)):
        if name != other:
            return count
    count = min(len(names), len(header))
    if count == len(header):
        while count < len(names) and descend(below, names[len(header) : count + 1]) is not None:
            count += 1
    return count


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_MESSAGE else f"{text[:_HEAD]} … {text[-_TAIL:]}"


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
