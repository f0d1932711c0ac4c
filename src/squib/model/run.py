"""What a person asks of one run: `RunSpec`, as the command line gives it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from squib.errors import UsageError
from squib.model.machine import Accel, VmmKind
from squib.model.network import GuestIp

__all__ = ["LOOPBACK", "READY_S", "Publish", "RunSpec", "parse_publish"]

READY_S: float = 60
"""How long a microVM may take from its launch to its readiness line, unless somebody says otherwise."""

LOOPBACK = IPv4Address("127.0.0.1")

_PUBLISH = re.compile(r"(?:(?:\[(?P<v6>[^\]]*)\]|(?P<v4>[^:]*)):)?(?P<host>[0-9]{1,5}):(?P<guest>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Publish:
    """The guest's TCP `guest_port` reachable at `host_address:host_port`; host port 0 means any free one."""

    host_address: IPv4Address | IPv6Address
    host_port: int
    guest_port: int


@dataclass(frozen=True, slots=True)
class RunSpec:
    """None means: as the appliance file says (memory, vcpus, ports), or as works best here (vmm, accel, name).

    `tap` is a device of the host and the guest's hardware address, `guest_ip` the guest's address on it; None: no tap.
    `host_network`: it gets a tap of its own, from the pool that the host was set up with; `user_network`: in a namespace of its
    own, without root (docs/host.md).

    `outbound`: the user lets the guest open connections to the outside; what its appliance file says is a wish and grants
    nothing.

    `no_jailer`: root's Firecracker runs as root, with nothing around it.

    `values` are pairs of key and text; `ready_timeout_s` bounds the time from launch to the readiness line.
    """

    values: tuple[tuple[str, str], ...] = ()
    mem_size_mib: int | None = None
    vcpu_count: int | None = None
    publish: tuple[Publish, ...] | None = None
    name: str | None = None
    accel: Accel | None = None
    ready_timeout_s: float = READY_S
    vmm: VmmKind | None = None
    tap: tuple[str, str] | None = None
    guest_ip: GuestIp | None = None
    host_network: bool = False
    no_jailer: bool = False
    user_network: bool = False
    outbound: bool = False

    @property
    def own_network(self) -> bool:
        """Whether it gets a tap of its own from squib."""
        return self.host_network or self.user_network

    @property
    def on_the_hosts_network(self) -> bool:
        """Whether the machine has a tap that somebody else made, or no network: nothing is published then."""
        return not self.own_network and (self.tap is not None or self.vmm is VmmKind.FIRECRACKER)


def parse_publish(text: str, served: Sequence[int] = ()) -> Publish:
    """`[ADDR:]HOST:GUEST`, as in `8080:80`, `0.0.0.0:8080:80`, `[::1]:8080:80`.

    `served` are the guest's ports, of which a single one completes what is to be typed instead. Raises UsageError.
    """
    hint = "write [ADDR:]HOST:GUEST, for example 8080:80 or 0.0.0.0:8080:80; host port 0 is any free one"
    match = _PUBLISH.fullmatch(text)
    if match is None:
        if text.isascii() and text.isdigit() and len(served) == 1:
            hint = f"--publish {text}:{served[0]}, for port {served[0]} of the guest at port {text} of this host"
        elif text.isascii() and text.isdigit():
            hint = f"--publish {text}:GUEST, with the guest's port; {hint}"
        raise UsageError(f"--publish {text}: expected two ports, HOST:GUEST", hint=hint)
    host, guest = int(match["host"]), int(match["guest"])
    if host > 65535 or not 1 <= guest <= 65535:
        raise UsageError(f"--publish {text}: a port is 1 to 65535", hint=hint)
    address = match["v4"] if match["v6"] is None else match["v6"]
    try:
        where = LOOPBACK if address is None else ip_address(address)
    except ValueError as error:
        raise UsageError(f"{address!r} is no IP address", hint=hint) from error
    if isinstance(where, IPv6Address) and match["v6"] is None:
        raise UsageError(f"--publish {text}: an IPv6 address stands in brackets", hint=hint)
    return Publish(where, host, guest)
