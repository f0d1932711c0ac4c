"""Machines with a network of the host's, in namespaces: taps, leases and published ports for real, Firecracker made up.

The fake does not open its tap, so `Guest` does in its place, and is the guest's network.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from host_machines import RUN, Lab
from namespaces import Guest, Namespace, eventually, heard

pytestmark = [pytest.mark.root, pytest.mark.tool, pytest.mark.timeout(240)]


def test_published_ports_and_a_hostile_guest(lab: Lab, outside: Namespace) -> None:
    host = lab.host
    machine = lab.run("--publish", "8080:80", "--publish", "0.0.0.0:8081:80")
    assert machine["urls"] == ["http://127.0.0.1:8080", "http://127.0.0.1:8081"]
    lab.run("--name", "other", "--publish", "192.0.2.1:8082:80")
    assert lab.taps() == {"squib0", "squib1"}
    assert [guest for _, guest, _ in lab.leases()] == ["10.83.0.2/30", "10.83.0.6/30"]
    assert host.setting("net/ipv4/conf/squib0/route_localnet") == "1"
    assert host.setting("net/ipv4/conf/squib1/route_localnet") == "0", "only where 127.0.0.1 is published"
    outside.serve("192.0.2.2", 8004)
    host.serve("127.0.0.1", 7006)
    with lab.guest(0) as guest, lab.guest(1) as other:
        guest.serve("10.83.0.2", 80)
        other.serve("10.83.0.6", 80)
        assert host.ask("127.0.0.1", 8080) == "10.83.0.1", "from the host's loopback, by the tap's address"
        assert host.ask("127.0.0.1", 8081) == "10.83.0.1"
        assert host.ask("192.0.2.1", 8081) == "192.0.2.1", "from the host, at its own address"
        assert host.ask("192.0.2.1", 8082) == "192.0.2.1"
        assert outside.ask("192.0.2.1", 8081) == "192.0.2.2", "from outside, seen as it is"
        assert outside.ask("192.0.2.1", 8082) == "192.0.2.2"
        assert outside.ask("192.0.2.1", 8080, patience=1) == "ConnectionRefusedError", "loopback's is not for others"
        assert outside.ask("10.83.0.2", 80, patience=0.5) == "TimeoutError", "nor is the guest's own address"
        for address, port in (("192.0.2.2", 8004), ("10.83.0.6", 80), ("192.0.2.1", 8082), ("10.83.0.1", 8081)):
            assert guest.ask(address, port, patience=0.3) == "TimeoutError", (address, port)
        hostile(host, guest, other)
        refused(lab)
    said = lab.squib("host", "teardown", status=75)
    assert "their taps are squib0, squib1" in said
    checked = json.loads(lab.squib("host", "check", "--json"))["checks"]
    assert next(row["found"] for row in checked if row["name"] == "taps") == "2 of machines"
    lab.squib("stop", "clock", "other")
    assert lab.left() == {"folder", "record"}, "their consoles, and how they ended"


def hostile(host: Namespace, guest: Guest, other: Guest) -> None:
    loopback, neighbour = host.listen("127.0.0.1", 7007), other.listen("10.83.0.6", 7008)
    before = host.dropped("from_taps")
    guest.forge("127.0.0.1", 7007, "by route_localnet")
    guest.forge("10.83.0.1", 7007, "another's MAC", mac=other.own_mac)
    guest.forge("10.83.0.1", 7007, "another's address", source="10.83.0.6")
    guest.forge("10.83.0.1", 7007, "the host's address", source="10.83.0.1")
    guest.forge("127.0.0.1", 7007, "both", source="127.0.0.1")
    eventually(lambda: host.dropped("from_taps") >= before + 5)
    before = host.dropped("leaving")
    guest.forge("10.83.0.6", 7008, "to a neighbour")
    eventually(lambda: host.dropped("leaving") >= before + 1)
    host.run("bash", "-c", "echo -n over > /dev/udp/127.0.0.1/7007; echo -n over > /dev/udp/10.83.0.6/7008")
    assert (heard(loopback), heard(neighbour)) == ("127.0.0.1 over", "10.83.0.5 over"), "nothing came before"
    answers = guest.run("sh", "-c", "ip neigh flush dev eth0; ping -c1 -W1 -I eth0 192.0.2.1; ip neigh show 192.0.2.1 dev eth0", check=False)  # fmt: skip
    assert "lladdr" not in answers, "the host does not tell of its other addresses"


def refused(lab: Lab) -> None:
    """What somebody has is nobody else's; nothing of a run that is refused is left."""
    before, rules = lab.leases(), lab.host.rules()
    run = ("run", lab.artifact, *RUN, "--name", "third")
    assert "in use by another program" in lab.squib(*run, "--publish", "7006:80", status=75)
    assert "in use by the machine other" in lab.squib(*run, "--publish", "0.0.0.0:8082:80", status=75)
    assert "IPv4 only" in lab.squib(*run, "--publish", "[::1]:8083:80", status=64)
    assert "--network host is for Firecracker" in lab.squib(*run, "--network", "host", "--tap", "tap0", status=64)
    elsewhere = lab.env | {"XDG_STATE_HOME": str(lab.folder / "elsewhere")}
    said = lab.host.squib(*run, "--publish", "8081:80", env=elsewhere, status=75)
    assert "in use by another program" in said, "Firecracker's process holds the port"
    holder = "import socket; s = socket.socket(); s.setsockopt(1, 2, 1); s.bind(('127.0.0.1', 8080)); s.listen()"
    assert "Address already in use" in subprocess.run(
        lab.host.command(sys.executable, "-c", holder), capture_output=True, text=True, check=False
    ).stderr, "as against any program"  # fmt: skip
    assert (lab.leases(), lab.host.rules()) == (before, rules)
    done = lab.host.squib(*run, env=elsewhere)
    assert lab.taps() == {"squib0", "squib1", "squib2"}, "another state folder gets another tap"
    assert '"state": "running"' in done
    lab.host.squib("rm", "--force", "third", env=elsewhere)
    assert (lab.leases(), lab.host.rules(), lab.taps()) == (before, rules, {"squib0", "squib1"})


def test_outbound_is_the_appliances_wish_and_the_users_word(lab: Lab, outside: Namespace) -> None:
    outside.serve("192.0.2.2", 8005)
    going = lab.written("going", outbound=True)
    assert "going asks to open connections to the outside, and may not: --outbound lets it" in lab.squib("run", going, *RUN)
    with lab.guest(0) as guest:
        assert guest.ask("192.0.2.2", 8005, patience=0.5) == "TimeoutError"
    lab.squib("rm", "--force", "going")
    lab.run("--outbound", artifact=going)
    lab.squib("restart", "going")
    with lab.guest(0) as guest:
        assert guest.ask("192.0.2.2", 8005) == "192.0.2.1"
        metadata(outside)
        for address, port in CLOSED:
            assert guest.ask(address, port, patience=0.3) == "TimeoutError", address
        assert guest.ask(WIRE_SERVER, 53) == "192.0.2.1", "a name server"


def metadata(outside: Namespace) -> None:
    """Where clouds tell their machines secrets: they would answer."""
    for address, port in (*CLOSED, (WIRE_SERVER, 53)):
        outside.run("ip", "address", "replace", f"{address}/32", "dev", "lo")
        outside.serve(address, port)


WIRE_SERVER = "168.63.129.16"
CLOSED = (("169.254.169.254", 80), ("100.100.100.200", 80), ("192.0.0.192", 80), (WIRE_SERVER, 80), (WIRE_SERVER, 32526))


def test_a_restart_has_the_same_ports_again(lab: Lab) -> None:
    first = lab.run()
    assert first["urls"] == ["http://127.0.0.1:8080"]
    lab.squib("restart", "clock")
    assert json.loads(lab.squib("ps", "--json"))[0]["urls"] == first["urls"]
    with lab.guest(0) as guest:
        guest.serve("10.83.0.2", 80)
        assert lab.host.ask("127.0.0.1", 8080) == "10.83.0.1"


def test_what_a_host_lacks_is_said(lab: Lab) -> None:
    host, run = lab.host, ("run", lab.artifact, *RUN, "--name", "more")
    host.run("ip", "link", "add", "squib0", "type", "veth", "peer", "name", "far0")
    lab.run()
    assert "squib1" in {tap for tap, _, _ in lab.leases()}, "somebody else's device is left alone"
    lab.squib("rm", "--force", "clock")
    host.run("ip", "link", "del", "squib0")
    lab.squib("host", "setup", "--pool", "10.9.0.0/30")
    lab.run()
    assert "no network is left in the pool 10.9.0.0/30: 1 machines have one" in lab.squib(*run, status=75)
    lab.squib("rm", "--force", "clock")
    host.run("nft", "flush", "ruleset")
    assert "(without a network" in lab.squib(*run[:-2], "--name", "auto"), "auto is what can be"
    lab.squib("rm", "--force", "auto")
    assert "this host is not set up" in lab.squib(*run, "--network", "host", status=66)
    host.run("rm", "-r", "/run/squib")
    assert "sudo squib host setup" in lab.squib(*run, "--network", "host", status=66)
    lab.squib("host", "setup")
    lab.rules = host.rules()
