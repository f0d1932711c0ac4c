"""What programs read: one JSON document on standard output. The fields are documented in docs/json.md."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from squib.app.inspecting import Inspection, observe
from squib.cli.endpoints import urls
from squib.cli.escaping import json_text
from squib.host.ports import endpoint
from squib.model.run import RunSpec
from squib.store import Machine

if TYPE_CHECKING:
    from squib.build.tuned_kernels import BuiltKernel

__all__ = ["inspection_json", "kernel_json", "machine_json", "print_json", "time_text"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def print_json(value: object) -> None:
    """Prints `value` as JSON."""
    print(json_text(value))


def time_text(unix_ms: int | None) -> str | None:
    """RFC 3339, UTC, whole seconds; whatever a wrong clock gave, no farther off than a date can say."""
    if unix_ms is None:
        return None
    try:
        return (_EPOCH + timedelta(milliseconds=unix_ms)).isoformat(timespec="seconds")
    except OverflowError:
        farthest = datetime.max.replace(tzinfo=UTC) if unix_ms > 0 else datetime.min.replace(tzinfo=UTC)
        return farthest.isoformat(timespec="seconds")


def machine_json(machine: Machine) -> dict[str, object]:
    """A machine's facts, as every verb shows them; looks at whether it runs and serves."""
    seen = observe(machine)
    return {
        "name": machine.name,
        "state": machine.state.value,
        "ready": seen.readiness.ready,
        "appliance": machine.appliance,
        "urls": urls(machine),
        "pid": None if machine.over or machine.process is None else machine.process.pid,
        "vmm": machine.vmm,
        "accel": machine.accel.value,
        "memory_mib": machine.mem_size_mib,
        "vcpus": machine.vcpu_count,
        "created": time_text(machine.created_ms),
        "uptime_s": None if seen.uptime_s is None else round(seen.uptime_s, 1),
        "boot_s": None if machine.boot_ms is None else machine.boot_ms / 1000,
        "restarts": machine.restarts,
        "image_sha256": machine.image_digest,
        "exit_status": machine.exit_status,
        "exit_reason": machine.exit_reason or None,
        "ended_by": None if machine.ended_by is None else machine.ended_by.value,
        "ended": time_text(machine.ended_ms),
    }


def inspection_json(seen: Inspection) -> dict[str, object]:
    """`machine_json`, and what `squib inspect` knows beside it."""
    machine = seen.machine
    return machine_json(machine) | {
        "not_ready_because": seen.observed.readiness.because or None,
        "health": seen.guest.health,
        "server_restarts": seen.guest.restarts,
        "server_restart_cause": seen.guest.cause or None,
        "ready_at": time_text(machine.ready_ms),
        "accel_reason": machine.accel_reason or None,
        "spec": None if seen.spec is None else _spec_json(seen.spec),
        "forwards": [
            {"host_address": str(one.host_address), "host_port": one.host_port, "guest_port": one.guest_port}
            for one in machine.published
        ],
        "way_out": None if seen.way_out is None else seen.way_out.value,
        "usage": None
        if seen.usage is None
        else {
            "rss_mib": round(seen.usage.rss_mib, 1),
            "pss_mib": None if seen.usage.pss_mib is None else round(seen.usage.pss_mib, 1),
            "cpu_s": round(seen.usage.cpu_s, 2),
            "cpu_percent": round(seen.usage.cpu_percent, 1),
        },
        "jail": None if seen.jail is None else {"uid": seen.jail.uid, "root": str(seen.jail.root)},
        "image": {
            "folder": None if seen.image.folder is None else str(seen.image.folder),
            "state": seen.image.state.value,
            "manifest_sha256": seen.image.manifest_digest or None,
            "files": [{"name": file.name, "size": file.size, "sha256": file.sha256} for file in seen.image.files],
        },
        "run_dir": str(machine.run_dir),
        "console_log": str(seen.console),
    }


def kernel_json(one: BuiltKernel) -> dict[str, object]:
    """A tuned kernel, as `squib kernel` shows it."""
    return {
        "name": one.name,
        "release": one.kernel.record.release,
        "current": one.current,
        "built": one.built.isoformat(timespec="seconds"),
        "file": str(one.kernel.vmlinux),
        "size": one.kernel.file.size,
        "sha256": one.kernel.file.sha256,
        "load_mib": one.kernel.record.load_mib,
        "inputs": [{"name": item.name, "version": item.version, "sha256": item.sha256} for item in one.kernel.inputs],
    }


def _spec_json(spec: RunSpec) -> dict[str, object]:
    return {
        "name": spec.name,
        "values": dict(spec.values),
        "memory_mib": spec.mem_size_mib,
        "vcpus": spec.vcpu_count,
        "publish": None
        if spec.publish is None
        else [f"{endpoint(one.host_address, one.host_port)}:{one.guest_port}" for one in spec.publish],
        "vmm": None if spec.vmm is None else spec.vmm.value,
        "tap": None if spec.tap is None else "/".join(spec.tap),
        "host_network": spec.host_network,
        "user_network": spec.user_network,
        "outbound": spec.outbound,
        "no_jailer": spec.no_jailer,
        "ip": None if spec.guest_ip is None else spec.guest_ip.parameter("").removeprefix("ip="),
        "accel": None if spec.accel is None else spec.accel.value,
        "ready_timeout_s": spec.ready_timeout_s,
    }
