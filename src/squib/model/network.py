"""A guest's network devices on the host's side, and the address that a guest gives itself.

Names are Firecracker's own (its API: NetworkInterface, RateLimiter, TokenBucket); `GuestIp` is the kernel's `ip=`
(Documentation/admin-guide/nfs/nfsroot.rst).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

from squib.errors import UsageError

__all__ = [
    "DEFAULT_GUEST_IP",
    "DEFAULT_GUEST_MAC",
    "GuestIp",
    "HostEnd",
    "RateLimiter",
    "Tap",
    "TokenBucket",
    "parse_guest_ip",
    "parse_tap",
]

_MAC = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}")
_HOST_NAME = re.compile(r"[A-Za-z0-9.-]{0,64}")


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """`size` tokens (bytes or operations), filled again in `refill_time_ms`; `one_time_burst` more at the start."""

    size: int
    refill_time_ms: int
    one_time_burst: int | None = None


@dataclass(frozen=True, slots=True)
class RateLimiter:
    """Limits of one direction; None: unlimited."""

    bandwidth: TokenBucket | None = None
    ops: TokenBucket | None = None


@dataclass(frozen=True, slots=True)
class GuestIp:
    """The address of one device of the guest; an empty `hostname` means the machine's name."""

    client: IPv4Interface
    gateway: IPv4Address | None = None
    hostname: str = ""
    device: str = "eth0"
    dns: tuple[IPv4Address, ...] = ()

    def parameter(self, name: str) -> str:
        """`ip=` for the machine `name`, all ten fields."""
        gateway = "" if self.gateway is None else str(self.gateway)
        dns0, dns1 = (*map(str, self.dns), "", "")[:2]
        fields = (self.client.ip, "", gateway, self.client.netmask, self.hostname or name, self.device, "off", dns0, dns1, "")
        return f"ip={':'.join(map(str, fields))}"


@dataclass(frozen=True, slots=True)
class HostEnd:
    """The host's end of a tap: its address there; `from_loopback`: packets from 127/8 may be routed out of it."""

    address: IPv4Interface
    from_loopback: bool = False


@dataclass(frozen=True, slots=True)
class Tap:
    """A tap device of the host's, as `iface_id` in the machine; None for `guest_mac`: the VMM makes one up.

    `guest`: the address that the guest is told to give itself; None: it is told none. `to_make`: the tap is made when the
    machine is launched, so that its VMM need not be where it is; None: it is there.
    """

    iface_id: str
    host_dev_name: str
    guest_mac: str | None = None
    guest: GuestIp | None = None
    rx_rate_limiter: RateLimiter | None = None
    tx_rate_limiter: RateLimiter | None = None
    to_make: HostEnd | None = None


DEFAULT_GUEST_MAC = "AA:FC:00:00:00:01"
DEFAULT_GUEST_IP = GuestIp(IPv4Interface("172.17.100.2/24"), IPv4Address("172.17.100.1"), dns=(IPv4Address("172.17.100.1"),))
"""What a guest on a tap has where nobody says otherwise; the host's end of the tap is the gateway."""

_IP_HINT = (
    "write CLIENT/PREFIX,GATEWAY, as in 172.17.100.2/24,172.17.100.1, or the kernel's CLIENT::GATEWAY:NETMASK:HOSTNAME:eth0:off"
)


def parse_tap(text: str) -> tuple[str, str]:
    """`DEV[/MAC]` → the device's name and the guest's hardware address. Raises UsageError."""
    name, slash, mac = text.partition("/")
    if not name or (slash and not _MAC.fullmatch(mac)):
        raise UsageError(f"{text!r} is no tap device", hint="write DEV or DEV/MAC, as in tap0/AA:FC:00:00:00:01")
    if slash and int(mac[:2], 16) & 1:
        raise UsageError(
            f"{mac} is the hardware address of a group", hint="the first byte must be even, as in AA:FC:00:00:00:01"
        )
    return name, mac or DEFAULT_GUEST_MAC


def parse_guest_ip(text: str) -> GuestIp:
    """`CLIENT/PREFIX[,GATEWAY]`, or the kernel's own form, with or without `ip=`. Raises UsageError."""
    value = text.removeprefix("ip=")
    try:
        if ":" in value:
            return _kernels_form(value)
        client, _, gateway = value.partition(",")
        return GuestIp(mine := _client(client), _gateway(gateway, mine))
    except ValueError as error:
        raise UsageError(f"{text!r} is no address for a guest: {error}", hint=_IP_HINT) from error


def _client(text: str) -> IPv4Interface:
    if "/" not in text:
        raise ValueError("the length of the network's prefix is missing")
    client = IPv4Interface(text)
    if client.ip.is_unspecified or client.ip.is_multicast or client.ip.is_loopback:
        raise ValueError(f"{client.ip} is nobody's address")
    return client


def _gateway(text: str, client: IPv4Interface) -> IPv4Address | None:
    """The kernel routes by a gateway only where the guest's own network reaches it."""
    if not text:
        return None
    gateway = IPv4Address(text)
    if gateway not in client.network:
        raise ValueError(f"the gateway {gateway} is not in the guest's network, {client.network}")
    if gateway == client.ip:
        raise ValueError(f"the gateway {gateway} is the guest itself")
    return gateway


def _kernels_form(value: str) -> GuestIp:
    fields = value.split(":")
    if len(fields) > 10:
        raise ValueError(f"{len(fields)} fields, at most 10 are known")
    client, server, gateway, netmask, hostname, device, protocol, dns0, dns1, ntp = fields + [""] * (10 - len(fields))
    if protocol not in {"", "off", "none"}:
        raise ValueError(f"{protocol!r}: only fixed addresses are possible, so it must be off")
    if device not in {"", "eth0"}:
        raise ValueError(f"the guest's device is eth0, not {device!r}")
    if server or ntp:
        raise ValueError("a server or a time server means nothing to the guest")
    if not netmask:
        raise ValueError("the netmask is missing")
    if not _HOST_NAME.fullmatch(hostname):
        raise ValueError(f"{hostname!r} is no host name")
    dns = tuple(IPv4Address(one) for one in (dns0, dns1) if one)
    return GuestIp(mine := _client(f"{client}/{netmask}"), _gateway(gateway, mine), hostname, "eth0", dns)
