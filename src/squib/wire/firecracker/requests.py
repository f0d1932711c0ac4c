"""What is asked of Firecracker over its socket: a machine's configuration as requests in the order they are sent, and actions.

The order is firectl's, and the specification's: each resource after what it refers to, and nothing after InstanceStart.
Drives go in the file's order; Firecracker itself makes the root device the first one.

An id in the path of a request is letters, digits and _ (parsed_request.rs, checked_id); in a configuration file it is any text.
What is told from such a file is told by ids of its own where it must be: a guest never sees them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
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

__all__ = ["Request", "Resource", "action", "addressable", "configure", "put", "set_state"]

_FIT, _UNFIT = re.compile(r"[A-Za-z0-9_]+"), re.compile(r"[^A-Za-z0-9_]")

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


def addressable(configuration: FullVmConfiguration) -> FullVmConfiguration:
    """The same machine with ids that may stand in a path: those that may are as they were, others are like what they were."""
    drives = _paths_ids(one.drive_id for one in configuration.drives)
    interfaces = _paths_ids(one.iface_id for one in configuration.network_interfaces)
    mmds = configuration.mmds_config
    if mmds is not None:
        known = tuple(interfaces.get(name, name) for name in mmds.network_interfaces)
        mmds = msgspec.structs.replace(mmds, network_interfaces=known)
    return msgspec.structs.replace(
        configuration,
        drives=tuple(msgspec.structs.replace(one, drive_id=drives[one.drive_id]) for one in configuration.drives),
        network_interfaces=tuple(
            msgspec.structs.replace(one, iface_id=interfaces[one.iface_id]) for one in configuration.network_interfaces
        ),
        mmds_config=mmds,
    )


def _paths_ids(ids: Iterable[str]) -> dict[str, str]:
    """Each id with the one for paths; different ones stay different."""
    wanted = tuple(ids)
    found = {one: one for one in wanted if _FIT.fullmatch(one)}
    for one in wanted:
        if one not in found:
            like = _UNFIT.sub("_", one) or "_"
            taken = set(found.values())
            found[one] = like if like not in taken else next(name for n in count(1) if (name := f"{like}_{n}") not in taken)
    return found


def configure(
    configuration: FullVmConfiguration, *, cpu_config: CpuConfig | None = None, metadata: str | None = None
) -> tuple[Request, ...]:
    """All requests but InstanceStart. `cpu_config` is what is in the file that the configuration names; `metadata` is JSON."""
    c = addressable(configuration)
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
