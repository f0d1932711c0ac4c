"""The network of a plain user's machine, as values: command lines of what connects it, its rules, and what it keeps shut."""

from __future__ import annotations

import json
import shlex
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

import pytest

from squib.app.user_networks import closed_networks, name_servers
from squib.host.links import Route
from squib.model.machine import PortForward
from squib.model.namespace_network import NamespaceNetwork, WayOut, WayOutProgram
from squib.net import ruleset, way_out
from squib.net.addresses import slot
from squib.net.host_plan import uplinks_of
from squib.net.namespace import settings
from squib.wire import slirp4netns
from support import golden

POOL = IPv4Network("10.83.0.0/16")
PUBLISHED = (PortForward(IPv4Address("127.0.0.1"), 8080, 80), PortForward(IPv4Address("0.0.0.0"), 8443, 443))


def network(kind: WayOut, published: tuple[PortForward, ...] = PUBLISHED, *, outbound: bool = False) -> NamespaceNetwork:
    closed = (IPv4Network("172.17.0.0/16"), IPv4Network("192.0.2.1/32")) if outbound else ()
    program = WayOutProgram(kind, Path("/usr/bin", kind))
    return NamespaceNetwork(slot(POOL, 0), IPv4Network("10.83.255.0/24"), program, outbound, published, closed)


def test_command_lines(update_golden: bool) -> None:
    lines = [
        shlex.join(way_out.argv(network(kind, published), 4711, 9, uid=uid))
        for kind in WayOut
        for published, uid in ((PUBLISHED, 1000), ((), 1000), (PUBLISHED, 0))
    ]
    golden("way-out-argv.txt", "".join(f"{line}\n" for line in lines), update=update_golden)


def test_rules(update_golden: bool) -> None:
    one = network(WayOut.PASTA, outbound=True)
    commands = (*ruleset.create_table(settings(one), closed=one.closed), *ruleset.add_tap(one.tap))
    golden("nft-namespace.jsonl", "".join(json.dumps(command) + "\n" for command in commands), update=update_golden)


def test_what_is_closed_comes_before_what_lets_out() -> None:
    one = network(WayOut.PASTA, outbound=True)
    leaving = [
        json.dumps(rule)
        for command in ruleset.create_table(settings(one), closed=one.closed)
        if (rule := command["add"].get("rule") if "add" in command else None) and rule["chain"] == "leaving"  # type: ignore[attr-defined]
    ]
    opening = next(number for number, rule in enumerate(leaving) if "@outbound" in rule)
    for closed in ("172.17.0.0", "192.0.2.1"):
        assert next(number for number, rule in enumerate(leaving) if closed in rule) < opening


def test_each_publication_has_a_port_of_its_own_in_the_namespace() -> None:
    twice = (PortForward(IPv4Address("127.0.0.1"), 80, 80), PortForward(IPv4Address("127.0.0.2"), 80, 81))
    one = network(WayOut.SLIRP4NETNS, twice)
    assert [(inside, published.guest_port) for inside, published in one.carried] == [(10000, 80), (10001, 81)]
    assert one.tap.forwards == (PortForward(IPv4Address(0), 10000, 80), PortForward(IPv4Address(0), 10001, 81))


def test_slirp4netns_is_asked_in_its_own_words() -> None:
    assert json.loads(slirp4netns.add_hostfwd(PUBLISHED[0], "10.83.255.100", 10000)) == {
        "execute": "add_hostfwd",
        "arguments": {
            "proto": "tcp",
            "host_addr": "127.0.0.1",
            "host_port": 8080,
            "guest_addr": "10.83.255.100",
            "guest_port": 10000,
        },
    }
    assert slirp4netns.refusal(b'{"return": {"id": 1}}') == ""
    assert "bad request" in slirp4netns.refusal(b'{"error": {"desc": "bad request: add_hostfwd: slirp_add_hostfwd failed"}}')
    assert slirp4netns.refusal(b"") == "it answered b''"


def addresses(*texts: str) -> tuple[tuple[str, IPv4Interface], ...]:
    return tuple((device, IPv4Interface(address)) for device, _, address in (text.partition(" ") for text in texts))


ROUTES = (
    Route(IPv4Network("0.0.0.0/0"), "tun0", 50),
    Route(IPv4Network("0.0.0.0/0"), "eth0", 100),
    Route(IPv4Network("10.8.0.0/16"), "tun0", 0),
    Route(IPv4Network("203.0.113.0/24"), "eth0", 0),
)


def test_the_host_and_its_bridges_are_closed_and_its_lan_is_not() -> None:
    host = addresses("lo 127.0.0.1/8", "eth0 192.0.2.5/24", "docker0 172.17.0.1/16", "wlan0 192.0.2.6/24", "tun0 10.8.0.2/32")
    closed = closed_networks(host, ROUTES, ("eth0",))
    for shut in (
        "127.0.0.1",
        "127.9.9.9",
        "192.0.2.5",
        "192.0.2.6",
        "172.17.0.1",
        "172.17.0.9",
        "10.8.0.2",
        "10.8.9.9",
        "0.0.0.0",
    ):
        assert any(IPv4Address(shut) in network for network in closed), shut
    for open_ in ("192.0.2.7", "192.0.2.1", "198.51.100.1", "10.9.0.3", "203.0.113.9", "172.18.0.1"):
        assert not any(IPv4Address(open_) in network for network in closed), open_
    assert closed_networks(host, ROUTES, ()) == closed_networks(host, ROUTES, ())
    assert any(IPv4Address("192.0.2.7") in network for network in closed_networks(host, ROUTES, ())), (
        "without an uplink nothing is outside"
    )


def route(network: str, device: str, metric: int = 0) -> Route:
    return Route(IPv4Network(network), device, metric)


@pytest.mark.parametrize(
    ("routes", "uplinks"),
    [
        ((), ()),
        ((route("10.0.0.0/8", "eth0"),), ()),
        ((route("0.0.0.0/0", ""),), ()),
        (ROUTES, ("tun0",)),
        ((route("0.0.0.0/0", "eth0", 5), route("0.0.0.0/0", "eth1", 5), route("0.0.0.0/0", "wwan0", 9)), ("eth0", "eth1")),
        ((route("0.0.0.0/0", "eth0"), route("0.0.0.0/1", "tun0"), route("128.0.0.0/1", "tun0")), ("tun0",)),
        ((route("0.0.0.0/0", "eth0"), route("0.0.0.0/1", "tun0")), ("eth0",)),
        ((route("0.0.0.0/1", "tun0"), route("128.0.0.0/1", "tun1")), ("tun0", "tun1")),
    ],
)
def test_what_leads_out(routes: tuple[Route, ...], uplinks: tuple[str, ...]) -> None:
    assert uplinks_of(routes) == uplinks


def test_the_networks_of_all_uplinks_are_outside_and_a_vpn_s_halves_are_no_network_beside() -> None:
    host = addresses("eth0 192.0.2.5/24", "eth1 203.0.113.5/24", "br0 172.17.0.1/16")
    closed = closed_networks(host, (route("0.0.0.0/1", "eth0"), route("128.0.0.0/1", "br0")), ("eth0", "eth1"))
    for open_ in ("192.0.2.7", "203.0.113.7", "8.8.8.8", "198.51.100.1"):
        assert not any(IPv4Address(open_) in network for network in closed), open_
    for shut in ("192.0.2.5", "203.0.113.5", "172.17.9.9"):
        assert any(IPv4Address(shut) in network for network in closed), shut


def test_a_guest_is_told_of_name_servers_that_it_reaches() -> None:
    one = network(WayOut.PASTA, outbound=True)
    reached, shut = IPv4Address("198.51.100.53"), IPv4Address("172.17.0.1")
    assert name_servers((shut, reached), one) == (reached,)
    assert name_servers((shut,), one) == name_servers((), one) == (IPv4Address("10.83.255.3"),)
