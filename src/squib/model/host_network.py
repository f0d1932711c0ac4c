"""The host's side of guests' networks, as values: what the host is set up to do, and one tap with what its guest may.

Names of devices are the kernel's (net/core/dev.c, dev_valid_name); everything is IPv4, guests speak nothing else outwards.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from squib.errors import UsageError
from squib.model.machine import PortForward

__all__ = [
    "HostPort",
    "HostSettings",
    "HostTap",
    "Slot",
    "parse_device_name",
    "parse_host_address",
    "parse_host_port",
    "parse_pool",
]

DOCKERS = IPv4Network("172.16.0.0/12")
"""Docker takes networks from here by itself, and routes of later ones would shadow a guest's."""

_DEVICE = re.compile(r"[A-Za-z0-9_.-]{1,15}")
_HOST_PORT = re.compile(r"([0-9]{1,5})(?:/(tcp|udp))?")
_PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "192.168.0.0/16", "100.64.0.0/10", "198.18.0.0/15")))
"""RFC 1918 without Docker's part, RFC 6598, RFC 2544."""


@dataclass(frozen=True, slots=True, order=True)
class HostPort:
    """A service of the host that guests may reach, at their gateway's address."""

    protocol: str
    port: int


@dataclass(frozen=True, slots=True)
class HostSettings:
    """`uplinks`: the devices that guests' packets leave by, mostly one; `pool`: where networks of machines are taken from."""

    uplinks: tuple[str, ...]
    pool: IPv4Network
    host_ports: tuple[HostPort, ...] = ()


@dataclass(frozen=True, slots=True)
class HostTap:
    """A tap: `host` is the host's own address on it, with the network that it shares with the guest.

    `guest` and `guest_mac` are the only ones that the guest may use; None: any address of the network, from any MAC.
    `outbound`: whether it may open connections out of the uplinks; `forwards` are its published ports.
    """

    name: str
    host: IPv4Interface
    guest: IPv4Address | None = None
    guest_mac: str | None = None
    outbound: bool = False
    forwards: tuple[PortForward, ...] = ()


@dataclass(frozen=True, slots=True)
class Slot:
    """One machine's share of the pool: the host has `host` on the tap, the guest `guest`."""

    tap: str
    host: IPv4Interface
    guest: IPv4Interface
    guest_mac: str


def parse_device_name(text: str) -> str:
    """A network device's name. Raises UsageError."""
    if not _DEVICE.fullmatch(text) or text in {".", ".."}:
        raise UsageError(f"{text!r} is no name for a network device", hint="1 to 15 of a-z, 0-9, '.', '_' and '-', as in tap0")
    return text


def parse_host_address(text: str) -> IPv4Interface:
    """`172.17.100.1/24`: an address of the host with its network. Raises UsageError."""
    hint = "write ADDRESS/PREFIX, as in 172.17.100.1/24"
    try:
        address = IPv4Interface(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no IPv4 address with its network: {error}", hint=hint) from error
    network = address.network
    usable = 8 <= network.prefixlen <= 30 and address.ip not in {network.network_address, network.broadcast_address}
    if "/" not in text or not usable or address.is_loopback or address.is_multicast or address.is_link_local:
        raise UsageError(f"{text!r} leaves no room for a guest, or is no address of a host", hint=hint)
    return address


def parse_host_port(text: str) -> HostPort:
    """`53/udp`, `5432` (TCP). Raises UsageError."""
    match = _HOST_PORT.fullmatch(text)
    if match is None or not 1 <= int(match[1]) <= 65535:
        raise UsageError(f"{text!r} is no port", hint="write PORT or PORT/udp, as in 5432 or 53/udp")
    return HostPort(match[2] or "tcp", int(match[1]))


def parse_pool(text: str) -> IPv4Network:
    """`10.83.0.0/16`: where networks of machines are taken from, four addresses each. Raises UsageError."""
    hint = "write a private network, as in 10.83.0.0/16"
    try:
        pool = IPv4Network(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no IPv4 network: {error}", hint=hint) from error
    if pool.overlaps(DOCKERS):
        raise UsageError(f"{pool} overlaps {DOCKERS}, where Docker takes its networks from", hint=hint)
    if not any(pool.subnet_of(private) for private in _PRIVATE) or not 8 <= pool.prefixlen <= 30:
        raise UsageError(f"{pool} is no private network with room for a machine", hint=hint)
    return pool
