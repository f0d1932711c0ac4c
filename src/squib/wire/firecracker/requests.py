"""What is asked of Firecracker over its socket: a machine's configuration as requests in the order they are sent, and actions.

The order is firectl's, and the specification's: each resource after what it refers to, and nothing after InstanceStart.
Drives go in the file's order; Firecracker itself makes the root device the first one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from squib.wire.firecracker.resources import (
    ActionType,
    Balloon,
    BootSource,
    CpuConfig,
    Drive,
    EntropyDevice,
    FullVmConfiguration,
    InstanceActionInfo,
    Logger,
    MachineConfiguration,
    Metrics,
    MmdsConfig,
    NetworkInterface,
    Vm,
    Vsock,
)

__all__ = ["Request", "Resource", "action", "configure", "put", "set_state"]

Resource = (
    Logger | Metrics | MachineConfiguration | CpuConfig | BootSource | Drive | NetworkInterface | Vsock | Balloon
    | EntropyDevice | MmdsConfig | InstanceActionInfo
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; `body` is JSON. Firecracker answers 204, or a status from 400 on and an `Error`."""

    method: Literal["PUT", "PATCH"]
    path: str
    body: bytes


def put(resource: Resource) -> Request:
    """The request that sets `resource`."""
    return Request("PUT", _path(resource), msgspec.json.encode(resource))


def action(action_type: ActionType) -> Request:
    """The request that starts the machine, presses Ctrl-Alt-Del, or writes the metrics."""
    return put(InstanceActionInfo(action_type))


def set_state(state: Literal["Paused", "Resumed"]) -> Request:
    """The request that pauses or resumes a machine that was started."""
    return Request("PATCH", "/vm", msgspec.json.encode(Vm(state)))


def configure(
    configuration: FullVmConfiguration, *, cpu_config: CpuConfig | None = None, metadata: str | None = None
) -> tuple[Request, ...]:
    """All requests but InstanceStart. `cpu_config` is what is in the file that the configuration names; `metadata` is JSON."""
    c = configuration
    resources: tuple[Resource | None, ...] = (
        c.logger,
        c.metrics,
        c.machine_config,
        cpu_config,
        c.boot_source,
        *c.drives,
        *c.network_interfaces,
        c.vsock,
        c.balloon,
        c.entropy,
        c.mmds_config,
    )
    contents = () if metadata is None else (Request("PUT", "/mmds", metadata.encode()),)
    return (*(put(resource) for resource in resources if resource is not None), *contents)


_PATHS: dict[type[Resource], str] = {
    Logger: "/logger",
    Metrics: "/metrics",
    MachineConfiguration: "/machine-config",
    CpuConfig: "/cpu-config",
    BootSource: "/boot-source",
    Vsock: "/vsock",
    Balloon: "/balloon",
    EntropyDevice: "/entropy",
    MmdsConfig: "/mmds/config",
    InstanceActionInfo: "/actions",
}


def _path(resource: Resource) -> str:
    match resource:
        case Drive():
            return f"/drives/{resource.drive_id}"
        case NetworkInterface():
            return f"/network-interfaces/{resource.iface_id}"
        case _:
            return _PATHS[type(resource)]
