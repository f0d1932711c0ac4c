"""The address plan: which /30 of the pool, which tap and which MAC a machine gets. Pure.

A slot is a number; everything else follows from it, so two machines that have different slots share nothing. The kernel's own
routes count as taken: a VPN or another tool may have come since the pool was chosen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from squib.errors import TakenError
from squib.model.host_network import Slot

__all__ = ["TAP_PREFIX", "choose_pool", "free_slot", "slot"]

TAP_PREFIX = "squib"
"""The taps of machines are squib0, squib1 …"""

POOLS = tuple(map(IPv4Network, ("10.83.0.0/16", "10.211.0.0/16", "192.168.208.0/20", "198.18.0.0/16")))
"""Tried in this order; never in 172.16/12, which is Docker's."""

_STEP = 4  # addresses of a /30


def slot(pool: IPv4Network, number: int) -> Slot:
    """The slot `number` of `pool`; there are `pool.num_addresses // 4`."""
    network = IPv4Network((int(pool.network_address) + number * _STEP, 30))
    host, guest = network.network_address + 1, network.network_address + 2
    return Slot(f"{TAP_PREFIX}{number}", IPv4Interface((host, 30)), IPv4Interface((guest, 30)), _mac(guest))


def free_slot(pool: IPv4Network, taken: Collection[str], routes: Iterable[IPv4Network], devices: Collection[str]) -> Slot:
    """The first slot whose network is none of `taken` (as text) nor meets one of `routes`, and whose tap is no device yet.

    Raises TakenError where there is none.
    """
    near = [route for route in routes if route.overlaps(pool)]
    for number in range(pool.num_addresses // _STEP):
        one = slot(pool, number)
        if str(one.host.network) in taken or one.tap in devices:
            continue
        if not any(one.host.network.overlaps(route) for route in near):
            return one
    why = f"; the host routes {near[0]} elsewhere" if near and not taken else ""
    raise TakenError(
        f"no network is left in the pool {pool}: {len(taken)} machines have one{why}",
        hint="stop machines (squib ps), or choose another pool: sudo squib host setup --pool NETWORK",
    )


def choose_pool(routes: Iterable[IPv4Network]) -> IPv4Network:
    """The first pool of ours that no route meets. Raises TakenError."""
    known = tuple(routes)
    free: Iterator[IPv4Network] = (pool for pool in POOLS if not any(pool.overlaps(route) for route in known))
    pool = next(free, None)
    if pool is None:
        raise TakenError(
            "the host routes all networks that squib would take for its machines elsewhere",
            hint="name one that is free: sudo squib host setup --pool NETWORK; see: ip route",
        )
    return pool


def _mac(address: IPv4Address) -> str:
    """A locally administered unicast MAC (IEEE 802, bit 1 of the first byte) that follows from the address."""
    return ":".join(f"{byte:02x}" for byte in (0x06, 0x73, *address.packed))
