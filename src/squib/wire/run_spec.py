"""The run spec as the store keeps it, so that a machine can be started again as it was asked for: strict JSON.

A field that a later squib adds has a default here, so what an earlier one wrote can still be read; an unknown one is refused.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Literal

import msgspec

from squib.errors import StorageError, UsageError
from squib.model.machine import Accel, VmmKind
from squib.model.network import parse_guest_ip
from squib.model.run import Publish, RunSpec

__all__ = ["decode", "encode"]

_HostPort = Annotated[int, msgspec.Meta(ge=0, le=65535)]
_GuestPort = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class _Publish(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    host_address: str
    host_port: _HostPort
    guest_port: _GuestPort


class _RunSpec(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    values: tuple[tuple[str, str], ...] = ()
    mem_size_mib: int | None = None
    vcpu_count: int | None = None
    publish: tuple[_Publish, ...] | None = None
    name: str | None = None
    accel: Literal["kvm", "tcg"] | None = None
    ready_timeout_s: float = 60.0
    vmm: Literal["qemu", "firecracker"] | None = None
    tap: tuple[str, str] | None = None
    guest_ip: str | None = None
    host_network: bool = False
    no_jailer: bool = False
    user_network: bool = False
    outbound: bool = False


def encode(spec: RunSpec) -> str:
    """The text of `spec`."""
    publish = None
    if spec.publish is not None:
        publish = tuple(_Publish(str(one.host_address), one.host_port, one.guest_port) for one in spec.publish)
    value = _RunSpec(
        values=spec.values,
        mem_size_mib=spec.mem_size_mib,
        vcpu_count=spec.vcpu_count,
        publish=publish,
        name=spec.name,
        accel=None if spec.accel is None else spec.accel.value,
        ready_timeout_s=spec.ready_timeout_s,
        vmm=None if spec.vmm is None else spec.vmm.value,
        tap=spec.tap,
        guest_ip=None if spec.guest_ip is None else spec.guest_ip.parameter(""),
        host_network=spec.host_network,
        no_jailer=spec.no_jailer,
        user_network=spec.user_network,
        outbound=spec.outbound,
    )
    return msgspec.json.encode(value).decode()


def decode(text: str) -> RunSpec:
    """The spec in `text`. Raises StorageError where that is not one."""
    try:
        value = msgspec.json.decode(text.encode(), type=_RunSpec)
        publish = None
        if value.publish is not None:
            publish = tuple(Publish(ip_address(one.host_address), one.host_port, one.guest_port) for one in value.publish)
        guest_ip = None if value.guest_ip is None else parse_guest_ip(value.guest_ip)
    except (msgspec.MsgspecError, ValueError, UsageError) as error:
        raise StorageError(
            f"a machine's stored run spec cannot be read: {error}", hint="squib rm it, and squib run it anew"
        ) from error
    return RunSpec(
        values=value.values,
        mem_size_mib=value.mem_size_mib,
        vcpu_count=value.vcpu_count,
        publish=publish,
        name=value.name,
        accel=None if value.accel is None else Accel(value.accel),
        ready_timeout_s=value.ready_timeout_s,
        vmm=None if value.vmm is None else VmmKind(value.vmm),
        tap=value.tap,
        guest_ip=guest_ip,
        host_network=value.host_network,
        no_jailer=value.no_jailer,
        user_network=value.user_network,
        outbound=value.outbound,
    )
