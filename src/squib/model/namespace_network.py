"""A network namespace of a machine's own, for users who may not change the host's network: a small host, as a value.

In it the guest has a tap, as on a host that is set up. The namespace's way out is a program of the user's own, which carries
connections between the namespace's uplink and ordinary sockets of the host.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from squib.model.host_network import HostTap, Slot
from squib.model.machine import PortForward

__all__ = ["NamespaceNetwork", "WayOut", "WayOutProgram"]

_FIRST_PORT = 10000


class WayOut(StrEnum):
    """The programs that connect a namespace to its host without a privilege."""

    PASTA = "pasta"
    SLIRP4NETNS = "slirp4netns"


@dataclass(frozen=True, slots=True)
class WayOutProgram:
    """One of them, and where it is."""

    kind: WayOut
    path: Path


@dataclass(frozen=True, slots=True)
class NamespaceNetwork:
    """`slot`: the guest's tap, addresses and MAC in the namespace; `uplink`: the /24 between the namespace and its way out.

    `published` are ports of the real host's. `closed`: networks that the guest does not reach although it has `outbound`, for
    the way out is a process of the host: what is the host's own must not look like a place outside.
    """

    slot: Slot
    uplink: IPv4Network
    way_out: WayOutProgram
    outbound: bool = False
    published: tuple[PortForward, ...] = ()
    closed: tuple[IPv4Network, ...] = ()

    @property
    def address(self) -> IPv4Address:
        """The namespace's own; the numbers are those that slirp4netns(1) has for its network."""
        return self.uplink.network_address + 100

    @property
    def gateway(self) -> IPv4Address:
        """The way out's."""
        return self.uplink.network_address + 2

    @property
    def name_server(self) -> IPv4Address:
        """Where the way out passes questions on to the host's own name server, also to one on loopback."""
        return self.uplink.network_address + 3

    @property
    def tap(self) -> HostTap:
        """The guest's tap: whatever comes to the namespace's port of a publication is for the guest, at whichever address."""
        slot = self.slot
        forwards = tuple(PortForward(IPv4Address(0), inside, one.guest_port) for inside, one in self.carried)
        return HostTap(slot.tap, slot.host, slot.guest.ip, slot.guest_mac, outbound=self.outbound, forwards=forwards)

    @property
    def carried(self) -> tuple[tuple[int, PortForward], ...]:
        """Each publication with its port in the namespace: one for each, for the host may have a port at two addresses."""
        return tuple((_FIRST_PORT + number, one) for number, one in enumerate(self.published))
