"""What `squib host setup` is to change, from what was asked for, what there is, and what was done before. Pure.

What is not said stays as the record has it, so that `setup --tap tap0` adds a tap and changes nothing else. Forwarding is
switched on for the uplinks alone (taps have it from their making): the kernel asks the device that a packet came in by
(net/ipv4/route.c, ip_route_input_slow), so a host that routed nothing before does not begin to route between its other devices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network

from squib.errors import MissingError, TakenError, UsageError
from squib.host.links import Device, Route
from squib.model.host_network import HostPort, HostSettings
from squib.net.addresses import TAP_PREFIX, choose_pool
from squib.net.firewalls import DOCKER_USER, docker_rules
from squib.net.operations import Packets, Setting, Table, Tap, TapRules
from squib.net.record import AnyOperation

__all__ = ["HostFound", "HostWish", "UserTap", "devices_of", "setup_plan", "uplinks_of"]

_EVERYWHERE = IPv4Network("0.0.0.0/0")
_HALVES = frozenset(_EVERYWHERE.subnets())
"""Two routes that are more exact than the default one, which a VPN leaves there (openvpn(8), redirect-gateway def1)."""


@dataclass(frozen=True, slots=True)
class UserTap:
    """A tap for the user `user`, who is `uid`."""

    name: str
    address: IPv4Interface
    user: str
    uid: int


@dataclass(frozen=True, slots=True)
class HostWish:
    """What was asked for; None and empty: nothing was said of it."""

    uplink: str | None = None
    pool: IPv4Network | None = None
    host_ports: tuple[HostPort, ...] = ()
    tap: UserTap | None = None
    docker_user: bool = False


@dataclass(frozen=True, slots=True)
class HostFound:
    """`forwarding`: device → its setting, "0" or "1"; `docker`: whether Docker's chain for others is there."""

    devices: Mapping[str, Device]
    routes: tuple[Route, ...]
    forwarding: Mapping[str, str]
    docker: bool


def uplinks_of(routes: Iterable[Route]) -> tuple[str, ...]:
    """The devices of the default route that the kernel would take: mostly one, several where it has several next hops."""
    leading = [route for route in routes if route.device and route.leads_out]
    halves = [route for route in leading if route.network in _HALVES]
    if {route.network for route in halves} == _HALVES:
        return tuple(dict.fromkeys(route.device for network in sorted(_HALVES) for route in _nearest(halves, network)))
    return tuple(dict.fromkeys(route.device for route in _nearest(leading, _EVERYWHERE)))


def _nearest(routes: Iterable[Route], network: IPv4Network) -> list[Route]:
    """Those to `network` of the least metric."""
    found = [route for route in routes if route.network == network]
    least = min((route.metric for route in found), default=0)
    return [route for route in found if route.metric == least]


def devices_of(recorded: Sequence[AnyOperation]) -> tuple[str, ...]:
    """The taps that other people's firewalls should let pass, as iptables names them."""
    return (f"{TAP_PREFIX}+", *(one.name for one in recorded if isinstance(one, TapRules)))


def setup_plan(wish: HostWish, found: HostFound, recorded: Sequence[AnyOperation]) -> tuple[AnyOperation, ...]:
    """All that is to be in force. Raises MissingError (no uplink, no Docker), TakenError (the tap, the pool), UsageError."""
    before = next((one for one in recorded if isinstance(one, Table)), None)
    uplinks = _uplinks(wish, found, before)
    table = Table.of(HostSettings(uplinks, _pool(wish, found, before), _host_ports(wish, before)))
    taps = _taps(wish, found, recorded)
    rules = [one for tap in taps for one in (TapRules(tap.name, tap.address), tap)]
    # The rules come first, and go last: nothing is forwarded that they have not seen.
    return (table, *_forwarding(uplinks, found, recorded), *rules, *_docker(wish, found, recorded, rules))


def _uplinks(wish: HostWish, found: HostFound, before: Table | None) -> tuple[str, ...]:
    if wish.uplink is not None:
        if wish.uplink not in found.devices:
            raise MissingError(f"there is no network device {wish.uplink}", hint="see which there are: ip link")
        return (wish.uplink,)
    if before is not None and all(one in found.devices for one in before.settings.uplinks):
        return before.settings.uplinks
    uplinks = uplinks_of(found.routes)
    if not uplinks:
        raise MissingError(
            "this host has no default route for IPv4, which is all that guests speak: nobody can tell which device leads out",
            hint="name it: --uplink DEVICE",
        )
    return uplinks


def _pool(wish: HostWish, found: HostFound, before: Table | None) -> IPv4Network:
    # Networks of running machines are in the pool that they were taken from, and are no reason against it.
    routes = [one.network for one in found.routes if not one.leads_out and not one.device.startswith(TAP_PREFIX)]
    if wish.pool is None:
        return choose_pool(routes) if before is None else before.settings.pool
    met = next((route for route in routes if route.overlaps(wish.pool)), None)
    if met is not None:
        raise TakenError(f"the pool {wish.pool} meets {met}, which the host routes already", hint="see: ip route")
    return wish.pool


def _host_ports(wish: HostWish, before: Table | None) -> tuple[HostPort, ...]:
    if not wish.host_ports and before is not None:
        return before.settings.host_ports
    return tuple(sorted(set(wish.host_ports)))


def _forwarding(uplinks: Iterable[str], found: HostFound, recorded: Sequence[AnyOperation]) -> tuple[AnyOperation, ...]:
    wanted: list[AnyOperation] = []
    for uplink in uplinks:
        name = f"net/ipv4/conf/{uplink}/forwarding"
        known = next((one for one in recorded if isinstance(one, Setting) and one.name == name), None)
        if known is not None:
            wanted.append(known)
        elif found.forwarding.get(uplink) != "1":
            wanted.append(Setting(name, "1", found.forwarding.get(uplink, "0")))
    return tuple(wanted)


def _taps(wish: HostWish, found: HostFound, recorded: Sequence[AnyOperation]) -> list[Tap]:
    taps = [one for one in recorded if isinstance(one, Tap)]
    if wish.tap is None:
        return taps
    new = Tap(wish.tap.name, str(wish.tap.address), wish.tap.user, wish.tap.uid)
    if new.name.startswith(TAP_PREFIX):
        raise UsageError(f"{new.name}: names that begin with {TAP_PREFIX} are those of machines", hint="as in --tap tap0")
    others = [one for one in taps if one.name != new.name]
    if len(others) == len(taps) and new.name in found.devices:
        raise TakenError(
            f"there is a network device {new.name} already, which squib did not make",
            hint=f"choose another --tap, or see what it is: ip -d link show {new.name}",
        )
    network = wish.tap.address.network
    met = next((route for route in found.routes if not route.leads_out and route.network.overlaps(network)), None)
    if met is not None and met.device != new.name:
        raise TakenError(
            f"the network {network} of the tap meets {met.network}, which the host routes by {met.device or 'a blackhole'}",
            hint="choose another --address",
        )
    return [*others, new]


def _docker(
    wish: HostWish, found: HostFound, recorded: Sequence[AnyOperation], rules: Sequence[AnyOperation]
) -> tuple[AnyOperation, ...]:
    if not wish.docker_user and not any(isinstance(one, Packets) for one in recorded):
        return ()
    if not found.docker:
        if not wish.docker_user:  # Docker was here, and has gone: its rules went with it
            return ()
        raise MissingError(
            f"there is no chain {DOCKER_USER} in iptables' table filter", hint="Docker makes it: is it running? docker info"
        )
    return tuple(Packets(DOCKER_USER, rule) for rule in docker_rules(devices_of(rules)))
