"""What the server program knows of its appliance: written by squib at build time, read here (docs/guest-abi.md, "Spec").

The form is `marshal` of one tuple: no parser has to be imported at boot. The file is part of the read-only image, or comes
from squib itself by an inherited descriptor, so it is trusted as the code is.
"""

from __future__ import annotations

import marshal

ABI = 1
SPEC_PATH = "/etc/squib/appliance"


class Key:
    """One option of the appliance's own. `type` is "bool", "int", "port" or "string"; `default` has that type."""

    __slots__ = ("default", "doc", "name", "type")

    def __init__(self, name: str, type_: str, default: object, doc: str) -> None:
        self.name = name
        self.type = type_
        self.default = default
        self.doc = doc


class Spec:
    """`serve` is "MODULE:FUNCTION"; `sys_path` are folders to search for it before all others."""

    __slots__ = ("keys", "name", "serve", "summary", "sys_path")

    def __init__(self, name: str, summary: str, serve: str, keys: tuple[Key, ...], sys_path: tuple[str, ...]) -> None:
        self.name = name
        self.summary = summary
        self.serve = serve
        self.keys = keys
        self.sys_path = sys_path


def loads(data: bytes) -> Spec:
    """The spec in `data`. Raises ValueError where it is of another ABI."""
    abi, name, summary, serve, keys, sys_path = marshal.loads(data)  # noqa: S302 - see the module's docstring
    if abi != ABI:
        raise ValueError(f"spec of ABI {abi}, this is {ABI}")
    return Spec(name, summary, serve, tuple(Key(*key) for key in keys), sys_path)
