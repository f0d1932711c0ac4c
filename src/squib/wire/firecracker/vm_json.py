"""Firecracker's configuration file, mostly called vm.json, and the files beside it: strict, and errors name file and field."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Any, NoReturn, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from squib.errors import ApplianceError
from squib.model.near import did_you_mean
from squib.wire.firecracker.resources import CpuConfig, FullVmConfiguration

__all__ = ["decode", "decode_cpu_config", "decode_metadata", "encode"]

_Struct = TypeVar("_Struct", bound=msgspec.Struct)

_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>[^`]*)`")
_REQUIRED = re.compile(r"Object missing required field `(?P<field>[^`]*)`")
_CHOICE = re.compile(r"Invalid enum value (?P<value>.*)")
_PATTERN = re.compile(r"Expected `str` matching regex ")
_AT = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_STEP = re.compile(r"\.([A-Za-z0-9_-]+)|\[(\d+)\]")


def encode(configuration: FullVmConfiguration) -> bytes:
    """The file: what is not set is left out, so that Firecracker's defaults hold."""
    return msgspec.json.format(msgspec.json.encode(configuration), indent=2) + b"\n"


def decode(text: str, path: Path) -> FullVmConfiguration:
    """The machine in `text`, the content of `path`. Raises ApplianceError."""
    return _convert(_parse(text, path), path, FullVmConfiguration)


def decode_cpu_config(text: str, path: Path) -> CpuConfig:
    """The CPU template in `text`, the content of `path`. Raises ApplianceError."""
    return _convert(_parse(text, path), path, CpuConfig)


def decode_metadata(text: str, path: Path) -> str:
    """The metadata in `text`, in one line, as MMDS takes it: an object. Raises ApplianceError."""
    value = _parse(text, path)
    if not isinstance(value, dict):
        raise ApplianceError(f"{path}: metadata is an object, {{…}}, not {_kind(value)}")
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _parse(text: str, path: Path) -> Any:
    try:
        value = json.loads(text, object_pairs_hook=_members, parse_constant=_refuse_constant)
        json.dumps(value, ensure_ascii=False).encode()  # "\ud800" is no text
    except json.JSONDecodeError as error:
        raise ApplianceError(f"{path}:{error.lineno}: not JSON: {error.msg} (column {error.colno})") from error
    except UnicodeEncodeError as error:
        raise ApplianceError(f"{path}: not JSON: a half of a surrogate pair") from error
    except RecursionError as error:
        raise ApplianceError(f"{path}: nested too deeply") from error
    except ValueError as error:
        raise ApplianceError(f"{path}: {error}") from error
    return value


def _members(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f'"{twice}" stands twice in one object')
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"not JSON: {name}")


def _convert(value: Any, path: Path, kind: type[_Struct]) -> _Struct:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _explained(str(error), path, kind) from error


def _explained(message: str, path: Path, struct: type[msgspec.Struct]) -> ApplianceError:
    """A message of msgspec about `struct` in the user's terms: the field, and what would have been right."""
    at = _AT.search(message)
    what = message[: at.start()] if at else message
    field, inner, hint = _locate(at["path"] if at else "", struct)
    where = f"{path}: {field}: " if field else f"{path}: "
    known = list(inner.__struct_encode_fields__)
    if unknown := _UNKNOWN.search(what):
        meant = did_you_mean(unknown["field"], known, '"{}"') or "; expected one of " + ", ".join(known)
        return ApplianceError(f'{where}unknown field "{unknown["field"]}"{meant}')
    if required := _REQUIRED.search(what):
        return ApplianceError(f'{where}the field "{required["field"]}" is missing', hint=f"the fields: {', '.join(known)}")
    if choice := _CHOICE.search(what):
        return ApplianceError(f"{where}expected one of {', '.join(map(str, get_args(_plain(hint))))}, got {choice['value']}")
    if _PATTERN.match(what):
        meta = next(item for item in get_args(hint) if isinstance(item, msgspec.Meta))
        return ApplianceError(f"{where}expected {meta.description}")
    return ApplianceError(f"{where}{what[0].lower()}{what[1:]}")


def _locate(text: str, struct: type[msgspec.Struct]) -> tuple[str, type[msgspec.Struct], Any]:
    """`.drives[0].drive_id` → as people write it, the struct around it, and the type that was wanted there."""
    hint: Any = struct
    for name, _index in _STEP.findall(text):
        hint = _field_type(struct, name) if name else get_args(_plain(hint))[0]
        hint = _present(hint)
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            struct = hint
    return text.removeprefix("."), struct, hint


def _field_type(struct: type[msgspec.Struct], name: str) -> Any:
    attribute = dict(zip(struct.__struct_encode_fields__, struct.__struct_fields__, strict=True))[name]
    return get_type_hints(struct, include_extras=True)[attribute]


def _present(hint: Any) -> Any:
    """The type in `X | None`: what is there is no None."""
    inner = [part for part in get_args(hint) if part is not type(None)]
    return inner[0] if get_origin(hint) is UnionType or str(get_origin(hint)) == "typing.Union" else hint


def _plain(hint: Any) -> Any:
    """The type in `Annotated[X, …]`."""
    return get_args(hint)[0] if hasattr(hint, "__metadata__") else hint


def _kind(value: object) -> str:
    match value:
        case list():
            return "a list"
        case str():
            return "a string"
        case bool():
            return "true or false"
        case None:
            return "null"
        case _:
            return "a number"
