"""What squib tells the process that makes a machine's namespace, and what that says when it fails: strict JSON, both ways."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from squib import errors
from squib.errors import HostError, SquibError
from squib.model.host_network import Slot
from squib.model.machine import PortForward
from squib.model.namespace_network import NamespaceNetwork, WayOut, WayOutProgram

__all__ = ["READY", "WAY_OUT", "decode", "decode_failure", "encode", "encode_failure"]

READY = b"ready\n"
"""What is said last where it went well."""
WAY_OUT = "way-out.process"
"""The file in the machine's folder that tells which process is the network's way out (host.process.ProcessIdentity)."""

_Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class _Forward(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    host_address: str
    host_port: _Port
    guest_port: _Port


class _Network(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    tap: str
    host: str
    guest: str
    guest_mac: str
    uplink: str
    way_out: Literal["pasta", "slirp4netns"]
    program: str
    outbound: bool
    published: tuple[_Forward, ...]
    closed: tuple[str, ...]


class _Failure(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    exit_code: int
    message: str
    hint: str
    detail: str


def encode(network: NamespaceNetwork) -> bytes:
    """`network` as JSON."""
    slot = network.slot
    value = _Network(
        tap=slot.tap,
        host=str(slot.host),
        guest=str(slot.guest),
        guest_mac=slot.guest_mac,
        uplink=str(network.uplink),
        way_out=network.way_out.kind.value,
        program=str(network.way_out.path),
        outbound=network.outbound,
        published=tuple(_Forward(str(one.host_address), one.host_port, one.guest_port) for one in network.published),
        closed=tuple(map(str, network.closed)),
    )
    return msgspec.json.encode(value)


def decode(data: bytes) -> NamespaceNetwork:
    """The network in `data`. Raises HostError where that is not one."""
    try:
        value = msgspec.json.decode(data, type=_Network)
        return NamespaceNetwork(
            slot=Slot(value.tap, IPv4Interface(value.host), IPv4Interface(value.guest), value.guest_mac),
            uplink=IPv4Network(value.uplink),
            way_out=WayOutProgram(WayOut(value.way_out), Path(value.program)),
            outbound=value.outbound,
            published=tuple(
                PortForward(IPv4Address(one.host_address), one.host_port, one.guest_port) for one in value.published
            ),
            closed=tuple(map(IPv4Network, value.closed)),
        )
    except (msgspec.MsgspecError, ValueError) as error:
        raise HostError(f"the description of a machine's network cannot be read: {error}") from error


def encode_failure(error: SquibError) -> bytes:
    """`error` as JSON."""
    return msgspec.json.encode(_Failure(error.exit_code, str(error), error.hint, error.detail))


def decode_failure(data: bytes) -> SquibError:
    """The error in `data`; where there is none, that is the error."""
    try:
        value = msgspec.json.decode(data, type=_Failure)
    except msgspec.MsgspecError:
        return HostError("the machine's network was not set up", detail=data.decode("utf-8", "replace"))
    kinds = [kind for name in errors.__all__ if issubclass(kind := getattr(errors, name), SquibError)]
    kind = next((one for one in kinds if one is not SquibError and one.exit_code == value.exit_code), HostError)
    return kind(value.message, hint=value.hint, detail=value.detail)
