"""squib's one nftables table, as commands for `nft -j -f -` (libnftables-json(5)). Pure.

The rules never change while machines come and go: a tap is some elements in sets, put in before its device is there and taken
out after it has gone, so no packet of a guest ever meets a missing rule. Every packet from a tap must be IPv4, from the
address (and MAC) that its guest was given; it may go to no tap, no link-local or metadata address, and, unless allowed, nowhere
but back on connections that others opened. What other tables drop, none of this can accept (docs/host.md).

    a guest's packet    from_taps (raw) → published → to_host | forward: leaving → postrouting: masquerade
    a client's packet   published (the host's own: published_here) → forward: arriving → the tap
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network

from squib.model.host_network import HostSettings, HostTap

__all__ = [
    "SETS",
    "TABLE",
    "Command",
    "add_tap",
    "create_table",
    "delete_table",
    "digest",
    "forget_tap",
    "has_tap",
    "keep_elements",
    "remove_tap",
    "taps",
]

Command = Mapping[str, object]
"""One of libnftables-json(5)'s commands."""

TABLE = {"family": "inet", "name": "squib"}
_IN_TABLE = {"family": "inet", "table": "squib"}

_LOOPBACK, _LINK_LOCAL = IPv4Network("127.0.0.0/8"), IPv4Network("169.254.0.0/16")
_METADATA = tuple(map(IPv4Network, ("100.100.100.200/32", "192.0.0.192/32")))
"""Where clouds tell their machines secrets, beside link-local addresses: Alibaba's and Oracle's."""
_WIRE_SERVER = IPv4Network("168.63.129.16/32")
"""Azure's, which is its name server as well: that alone stays open."""

_ELEMENT_SETS: dict[str, dict[str, object]] = {
    "taps": {"type": "ifname"},
    "guests": {"type": ["ifname", "ether_addr", "ipv4_addr"]},
    "networks": {"type": ["ifname", "ipv4_addr"], "flags": ["interval"]},
    "outbound": {"type": "ifname"},
    "sources": {"type": "ipv4_addr", "flags": ["interval"]},
}
_ELEMENT_MAPS: dict[str, dict[str, object]] = {
    # Two maps with the same keys: nft before 1.0.7 cannot be told by JSON of a map to an address with a port.
    # Intervals, so that 0.0.0.0/0 collides with every address, as a listener would.
    "publish_to": {"type": ["ipv4_addr", "inet_service"], "map": "ipv4_addr", "flags": ["interval"]},
    "publish_port": {"type": ["ipv4_addr", "inet_service"], "map": "inet_service", "flags": ["interval"]},
}
SETS = (*_ELEMENT_SETS, *_ELEMENT_MAPS)
"""What taps have elements in."""


def create_table(settings: HostSettings, *, closed: Sequence[IPv4Network] = ()) -> tuple[Command, ...]:
    """The table without any tap; one that was there is replaced. Guests do not reach `closed`, whatever they may else."""
    return (
        {"add": {"table": TABLE}},  # so that there is one to delete
        {"delete": {"table": TABLE}},
        {"add": {"table": TABLE}},
        *({"add": {"set": {**_IN_TABLE, "name": name, **how}}} for name, how in _ELEMENT_SETS.items()),
        *({"add": {"map": {**_IN_TABLE, "name": name, **how}}} for name, how in _ELEMENT_MAPS.items()),
        {"add": {"set": {**_IN_TABLE, "name": "host_ports", "type": ["inet_proto", "inet_service"]}}},
        *_elements("add", "host_ports", [_concat(one.protocol, one.port) for one in settings.host_ports]),
        *_from_taps(),
        *_publishing(),
        *_to_host(),
        *_forward(settings.uplinks, closed),
        *_postrouting(settings.uplinks),
    )


def delete_table() -> tuple[Command, ...]:
    """The table goes, whole, with all that is in it."""
    return ({"delete": {"table": TABLE}},)


def add_tap(tap: HostTap) -> tuple[Command, ...]:
    """Lets the guest behind `tap` do what it may. A port that is published already makes nft refuse all of it."""
    return tuple(
        command for name, elements in _of_tap(tap).items() for command in _elements("create", name, elements) if elements
    )


def remove_tap(tap: HostTap) -> tuple[Command, ...]:
    """Takes out what `add_tap` put in."""
    return tuple(command for name, elements in _of_tap(tap).items() for command in _elements("delete", name, elements))


def forget_tap(listing: Sequence[object], tap: HostTap) -> tuple[Command, ...]:
    """Takes out of a listed table what is in it of `tap` and its guest; nothing where there is none.

    By what is there and not by what should be: a crash may have come between.
    """
    listed, guest = _listed(listing), str(tap.guest)
    published: list[object] = [pair for pair in listed.get("publish_to", ()) if isinstance(pair, list) and pair[-1:] == [guest]]
    keys = [pair[0] for pair in published if isinstance(pair, list)]
    found: dict[str, list[object]] = {
        "taps": [one for one in listed.get("taps", ()) if one == tap.name],
        "guests": [one for one in listed.get("guests", ()) if _first(one) == tap.name],
        "networks": [one for one in listed.get("networks", ()) if _first(one) == tap.name],
        "outbound": [one for one in listed.get("outbound", ()) if one == tap.name],
        "sources": [one for one in listed.get("sources", ()) if one == _prefix(tap.host.network)],
        "publish_to": published,
        "publish_port": [pair for pair in listed.get("publish_port", ()) if isinstance(pair, list) and pair[0] in keys],
    }
    return tuple(command for name, elements in found.items() for command in _elements("delete", name, elements))


def _first(element: object) -> object:
    """The first part of a concatenation."""
    parts = element.get("concat") if isinstance(element, dict) else None
    return parts[0] if isinstance(parts, list) and parts else None


def keep_elements(listing: Sequence[object]) -> tuple[Command, ...]:
    """The taps of a table that was listed (`nft -j list table`), to be put into a new one."""
    return tuple(command for name, elements in _listed(listing).items() for command in _elements("add", name, elements))


def taps(listing: Sequence[object]) -> frozenset[str]:
    """The taps that a listed table knows."""
    return frozenset(map(str, _listed(listing).get("taps", ())))


def has_tap(listing: Sequence[object], tap: HostTap) -> bool:
    """Whether a listed table lets the guest behind `tap` do what `add_tap` lets it."""
    listed = _listed(listing)
    return all(element in listed.get(name, ()) for name, elements in _of_tap(tap).items() for element in elements)


def digest(listing: Sequence[object]) -> str:
    """What tells whether somebody changed the rules: of a listed table all but its taps, counters and handles, as sha256."""
    entries = [_lasting(entry) for entry in listing if not (isinstance(entry, dict) and "metainfo" in entry)]
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()


def _lasting(value: object) -> object:
    if isinstance(value, list):
        return [_lasting(one) for one in value]
    if not isinstance(value, dict):
        return value
    passing = {"handle", "elem"} if value.get("name") in SETS else {"handle"}
    return {key: None if key == "counter" else _lasting(one) for key, one in value.items() if key not in passing}


def _listed(listing: Sequence[object]) -> dict[str, list[object]]:
    """Set → its elements."""
    found: dict[str, list[object]] = {}
    for entry in listing:
        for kind in ("set", "map"):
            one = entry.get(kind) if isinstance(entry, dict) else None
            if isinstance(one, dict) and one.get("name") in SETS and isinstance(one.get("elem"), list):
                found[one["name"]] = one["elem"]
    return found


def _of_tap(tap: HostTap) -> dict[str, list[object]]:
    """Set → the tap's elements in it."""
    network = _prefix(tap.host.network)
    bound = tap.guest is not None and tap.guest_mac is not None
    forwards = tap.forwards if tap.guest is not None else ()
    keys = [_concat(_address(one.host_address), one.host_port) for one in forwards]
    return {
        "taps": [tap.name],
        "guests": [_concat(tap.name, tap.guest_mac, str(tap.guest))] if bound else [],
        "networks": [] if bound else [_concat(tap.name, network if tap.guest is None else str(tap.guest))],
        "outbound": [tap.name] if tap.outbound else [],
        "sources": [network],
        "publish_to": [[key, str(tap.guest)] for key in keys],
        "publish_port": [[key, one.guest_port] for key, one in zip(keys, forwards, strict=True)],
    }


def _from_taps() -> tuple[Command, ...]:
    """What no guest may send, before anything else looks at it: also before connections are tracked."""
    return (
        _chain("from_taps"),
        _rule("from_taps", _match(_meta("nfproto"), "ipv4", "!="), _COUNT, _DROP),
        _rule("from_taps", _match(_ip("daddr"), _prefix(_LOOPBACK)), _COUNT, _DROP),  # route_localnet would let it in
        _rule("from_taps", _match(_concat(_IIF, _payload("ether", "saddr"), _ip("saddr")), "@guests"), _RETURN),
        _rule("from_taps", _match(_concat(_IIF, _ip("saddr")), "@networks"), _RETURN),
        _rule("from_taps", _COUNT, _DROP),
        _chain("prerouting", kind="filter", hook="prerouting", priority=-300),
        _rule("prerouting", _match(_IIF, "@taps"), _jump("from_taps")),
    )


def _publishing() -> tuple[Command, ...]:
    """Published ports. Guests cannot use them: what they send to the host stays for the host, which drops it."""
    key = _concat(_ip("daddr"), _payload("tcp", "dport"))
    to = {"map": {"key": key, "data": "@publish_to"}}
    dnat = {"dnat": {"family": "ip", "addr": to, "port": {"map": {"key": key, "data": "@publish_port"}}}}
    local = _match({"fib": {"result": "type", "flags": ["daddr"]}}, "local")
    return (
        _chain("published", kind="nat", hook="prerouting", priority=-100),
        _rule("published", _match(_IIF, "@taps"), _RETURN),
        _rule("published", local, dnat),
        _chain("published_here", kind="nat", hook="output", priority=-100),
        _rule("published_here", local, dnat),
    )


def _to_host() -> tuple[Command, ...]:
    """To the host itself: answers, and services that were asked for, at the tap's own address only."""
    service = _match(_concat(_meta("l4proto"), _payload("th", "dport")), "@host_ports")
    own = _match({"fib": {"result": "type", "flags": ["daddr", "iif"]}}, "local")
    return (
        _chain("to_host"),
        _rule("to_host", _ANSWERS, _ACCEPT),
        _rule("to_host", own, service, _ACCEPT),
        _rule("to_host", _COUNT, _DROP),
        _chain("input", kind="filter", hook="input", priority=0),
        _rule("input", _match(_IIF, "@taps"), _jump("to_host")),
    )


def _forward(uplinks: tuple[str, ...], closed: Sequence[IPv4Network]) -> tuple[Command, ...]:
    """Through the host. Packets that no tap has to do with pass as before: the policy is accept."""
    return (
        _chain("leaving"),
        _rule("leaving", _match(_OIF, "@taps"), _COUNT, _DROP),
        *(_rule("leaving", _match(_ip("daddr"), _prefix(one)), _COUNT, _DROP) for one in (_LINK_LOCAL, *_METADATA)),
        _rule("leaving", _match(_ip("daddr"), _prefix(_WIRE_SERVER)), _match(_payload("th", "dport"), 53, "!="), _COUNT, _DROP),
        _rule("leaving", _ANSWERS, _ACCEPT),
        *(_rule("leaving", _match(_ip("daddr"), _prefix(network)), _COUNT, _DROP) for network in closed),
        _rule("leaving", _match(_IIF, "@outbound"), _match(_OIF, _any(uplinks)), _ACCEPT),
        _rule("leaving", _COUNT, _DROP),
        _chain("arriving"),
        _rule("arriving", _ANSWERS, _ACCEPT),
        _rule("arriving", _match({"ct": {"key": "status"}}, "dnat", "in"), _ACCEPT),
        _rule("arriving", _COUNT, _DROP),
        _chain("forward", kind="filter", hook="forward", priority=0),
        _rule("forward", _match(_IIF, "@taps"), _jump("leaving")),
        _rule("forward", _match(_OIF, "@taps"), _jump("arriving")),
    )


def _postrouting(uplinks: tuple[str, ...]) -> tuple[Command, ...]:
    """Guests leave by the uplink's address; what the host's loopback sends to a published port comes from the tap's own."""
    return (
        _chain("postrouting", kind="nat", hook="postrouting", priority=100),
        _rule("postrouting", _match(_ip("saddr"), "@sources"), _match(_OIF, _any(uplinks)), {"masquerade": None}),
        _rule("postrouting", _match(_ip("saddr"), _prefix(_LOOPBACK)), _match(_OIF, "@taps"), {"masquerade": None}),
    )


_ACCEPT: Command = {"accept": None}
_DROP: Command = {"drop": None}
_RETURN: Command = {"return": None}
_COUNT: Command = {"counter": None}


def _meta(key: str) -> Command:
    return {"meta": {"key": key}}


def _payload(protocol: str, field: str) -> Command:
    return {"payload": {"protocol": protocol, "field": field}}


def _ip(field: str) -> Command:
    return _payload("ip", field)


def _concat(*parts: object) -> Command:
    return {"concat": list(parts)}


def _prefix(network: IPv4Network) -> Command:
    return {"prefix": {"addr": str(network.network_address), "len": network.prefixlen}}


def _address(address: object) -> object:
    return _prefix(IPv4Network("0.0.0.0/0")) if address == IPv4Address(0) else str(address)


def _any(names: tuple[str, ...]) -> object:
    return names[0] if len(names) == 1 else {"set": list(names)}


def _match(left: Command, right: object, operator: str = "==") -> Command:
    return {"match": {"op": operator, "left": left, "right": right}}


def _jump(chain: str) -> Command:
    return {"jump": {"target": chain}}


_IIF, _OIF = _meta("iifname"), _meta("oifname")
_ANSWERS = _match({"ct": {"key": "state"}}, ["established", "related"], "in")


def _chain(name: str, *, kind: str = "", hook: str = "", priority: int = 0) -> Command:
    base = {"type": kind, "hook": hook, "prio": priority, "policy": "accept"} if kind else {}
    return {"add": {"chain": {**_IN_TABLE, "name": name, **base}}}


def _rule(chain: str, *expressions: Command) -> Command:
    return {"add": {"rule": {**_IN_TABLE, "chain": chain, "expr": list(expressions)}}}


def _elements(verb: str, name: str, elements: Sequence[object]) -> tuple[Command, ...]:
    return ({verb: {"element": {**_IN_TABLE, "name": name, "elem": list(elements)}}},) if elements else ()
