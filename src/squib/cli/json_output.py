"""What programs read: one JSON document on standard output. The fields are documented in docs/json.md."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from squib.cli.endpoints import urls
from squib.store import Machine

__all__ = ["machine_json", "print_json"]


def print_json(value: object) -> None:
    """Prints `value` as JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def machine_json(machine: Machine) -> dict[str, object]:
    """A machine's facts, as `ps --json` shows them."""
    return {
        "name": machine.name,
        "state": machine.state.value,
        "appliance": machine.appliance,
        "urls": urls(machine.forwards),
        "pid": None if machine.over or machine.process is None else machine.process.pid,
        "vmm": machine.vmm,
        "accel": machine.accel.value,
        "memory_mib": machine.mem_size_mib,
        "vcpus": machine.vcpu_count,
        "created": datetime.fromtimestamp(machine.created_ms / 1000, UTC).isoformat(timespec="seconds"),
        "image_sha256": machine.image_digest,
        "exit_status": machine.exit_status,
        "exit_reason": machine.exit_reason or None,
    }
