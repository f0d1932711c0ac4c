"""The spec that the code inside an appliance reads at its start (docs/guest-abi.md, "Spec")."""

from __future__ import annotations

import marshal

from squib.model.appliance import Appliance

__all__ = ["ABI", "encode"]

ABI = 1


def encode(appliance: Appliance, sys_path: tuple[str, ...]) -> bytes:
    """The spec's bytes; `sys_path` are the folders that the server process searches before all others."""
    keys = tuple((key.name, key.type.value, key.default, key.doc) for key in appliance.keys)
    # Format 2 has no references, whose presence would depend on the reference counts of this process.
    return marshal.dumps((ABI, appliance.name, appliance.summary, appliance.serve, keys, sys_path), 2)
