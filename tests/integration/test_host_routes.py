"""Which way leads out of a host, by its real routes: next hops, nexthop objects, other tables, VPNs, and none."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator

import pytest

from namespaces import SQUIB, Namespace

pytestmark = [pytest.mark.root, pytest.mark.tool, pytest.mark.timeout(120)]

UPLINKS = "import json; from squib.host import links; from squib.net.host_plan import uplinks_of; print(json.dumps(uplinks_of(links.routes())))"
A, B = "via 192.0.2.254 dev a0", "via 203.0.113.254 dev b0"


@pytest.fixture
def host() -> Iterator[Namespace]:
    with Namespace() as host:
        for name, address in (("a0", "192.0.2.1/24"), ("b0", "203.0.113.1/24")):
            host.run("ip", "link", "add", name, "type", "veth", "peer", "name", f"far-{name}")
            host.run("ip", "link", "set", f"far-{name}", "up")
            host.run("ip", "address", "add", address, "dev", name)
            host.run("ip", "link", "set", name, "up")
        yield host


def uplinks(host: Namespace) -> list[str]:
    return list(json.loads(host.run(sys.executable, "-c", UPLINKS)))


@pytest.mark.parametrize(
    ("commands", "found"),
    [
        ((), []),
        ((f"route add default {A}", f"route add default {B} metric 9"), ["a0"]),
        ((f"route add default nexthop {A} weight 1 nexthop {B} weight 3",), ["a0", "b0"]),
        (("route add default nexthop via 192.0.2.253 dev a0 nexthop via 192.0.2.254 dev a0",), ["a0"]),
        ((f"nexthop add id 1 {B}", "route add default nhid 1"), ["b0"]),
        ((f"nexthop add id 1 {A}", f"nexthop add id 2 {B}", "nexthop add id 3 group 1/2", "route add default nhid 3"), ["a0", "b0"]),
        ((f"route add default {A}", f"route add 0.0.0.0/1 {B}", f"route add 128.0.0.0/1 {B}"), ["b0"]),
        ((f"route add default {B} table 99", "rule add from all lookup 99"), ["b0"]),
        ((f"route add 198.0.0.0/8 {A}",), []),
        (("route add blackhole default",), []),
        (("-6 route add default dev a0",), []),
    ],
)  # fmt: skip
def test_what_leads_out(host: Namespace, commands: tuple[str, ...], found: list[str]) -> None:
    for command in commands:
        host.run("ip", *command.split())
    assert uplinks(host) == found


def test_nexthop_objects_that_are_told_by_their_numbers_alone(host: Namespace) -> None:
    host.setting("net/ipv4/nexthop_compat_mode", "0")
    host.run("ip", "nexthop", "add", "id", "1", *B.split())
    host.run("ip", "route", "add", "default", "nhid", "1")
    assert uplinks(host) == ["b0"]


def test_a_host_with_two_uplinks_is_set_up_for_both_and_put_back(host: Namespace) -> None:
    before = host.settings()
    host.run("ip", "route", "add", "default", "nexthop", *A.split(), "nexthop", *B.split())
    assert "MISSING" not in host.squib("host", "setup")
    rules = host.rules()
    assert 'iifname @outbound oifname { "a0", "b0" } accept' in rules
    assert 'oifname { "a0", "b0" } masquerade' in rules
    assert [host.setting(f"net/ipv4/conf/{one}/forwarding") for one in ("a0", "b0")] == ["1", "1"]
    told = host.run(SQUIB, "host", "check", check=False)  # KVM may be missing here
    assert re.search(r"uplink +ok +a0 and b0\nforwarding +ok +on for a0 and b0\n", told)
    host.squib("host", "setup")
    assert host.rules() == rules
    host.squib("host", "teardown")
    assert (host.rules(), host.settings()) == ("", before)


def test_a_host_of_ipv6_only(host: Namespace) -> None:
    host.run("ip", "-6", "route", "add", "default", "dev", "a0")
    assert "no default route for IPv4, which is all that guests speak" in host.squib("host", "setup", status=66)
