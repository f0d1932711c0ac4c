"""The JSON Schema (2020-12) of the appliance file, for editors: made from the structs that decode it."""

from __future__ import annotations

from typing import Any

import msgspec

from squib.wire.appliance_tables import ApplianceFile, KeyTable

__all__ = ["appliance_schema"]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"

_DEFAULTS: dict[str, dict[str, object]] = {
    "bool": {"type": "boolean"},
    "int": {"type": "integer"},
    "port": {"type": "integer", "minimum": 1, "maximum": 65535},
    "string": {"type": "string", "pattern": "^[^\\x00]*$"},
}
"""What the default of a key of each type is."""


def appliance_schema() -> dict[str, Any]:
    """The schema of `appliance.toml`, and of the table `[tool.squib]` in a pyproject.toml."""
    schema: dict[str, Any] = _without_null(msgspec.json.schema(ApplianceFile))
    key = schema["$defs"][KeyTable.__name__]
    key["allOf"] = [_default_of(kind, shape) for kind, shape in _DEFAULTS.items()]
    return {"$schema": _DIALECT, "title": "appliance.toml of squib", **schema}


def _default_of(kind: str, shape: dict[str, object]) -> dict[str, object]:
    return {"if": {"properties": {"type": {"const": kind}}}, "then": {"properties": {"default": shape}}}


def _without_null(node: Any) -> Any:
    """`node` without what TOML cannot write (null: how the structs say "not there"), and without whole tables as defaults."""
    if isinstance(node, list):
        return [_without_null(part) for part in node if part != {"type": "null"}]
    if not isinstance(node, dict):
        return node
    kept = {
        name: {key: _without_null(child) for key, child in value.items()} if name == "properties" else _without_null(value)
        for name, value in node.items()
        if name != "default" or not (value is None or isinstance(value, dict))
    }
    return kept["anyOf"][0] if list(kept) == ["anyOf"] and len(kept["anyOf"]) == 1 else kept
