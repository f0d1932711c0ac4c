"""The spec that the code inside an appliance reads at its start (docs/guest-abi.md, "Spec")."""

from __future__ import annotations

import marshal

from squib.model.appliance import Appliance, HealthSettings

__all__ = ["ABI", "encode"]

ABI = 3


def encode(appliance: Appliance, sys_path: tuple[str, ...]) -> bytes:
    """The spec's bytes; `sys_path` are the folders that the server process searches before all others."""
    keys = tuple((key.name, key.type.value, key.default, key.doc) for key in appliance.keys)
    restart = (appliance.restart.policy.value, appliance.restart.tries)
    health = None if appliance.health is None else _health(appliance.health)
    # Format 2 has no references, whose presence would depend on the reference counts of this process.
    fields = (ABI, appliance.name, appliance.summary, appliance.serve, keys, sys_path, restart, health)
    return marshal.dumps(fields, 2)


def _health(h: HealthSettings) -> tuple[str, int, int, int, int]:
    return h.path, h.interval_ms, h.timeout_ms, h.failures, h.start_period_ms
