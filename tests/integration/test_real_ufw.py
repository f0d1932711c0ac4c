"""Real ufw in the way of guests: `squib host check` knows it, and what it says to do lets packets pass, and is enough.

ufw keeps what it is told in /etc/ufw: the host of this test has a copy of that, in a mount namespace.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from namespaces import Guest, Namespace, uplink
from support import missing, tool

pytestmark = [pytest.mark.root, pytest.mark.tool]

PORT = 8001
OWN_FILES = """
cp -a /etc/ufw /run/etc-ufw
sed 's/^DEFAULT_FORWARD_POLICY=.*/DEFAULT_FORWARD_POLICY="DROP"/' /etc/default/ufw >/run/default-ufw
mount --bind /run/etc-ufw /etc/ufw
mount --bind /run/default-ufw /etc/default/ufw
ufw --force reset
ufw --force enable
"""


@pytest.fixture
def outside() -> Iterator[Namespace]:
    with Namespace() as namespace:
        yield namespace


@pytest.fixture
def host(outside: Namespace) -> Iterator[Namespace]:
    """A host behind ufw, as `ufw enable` leaves it."""
    for name in ("nft", "ufw", "iptables"):
        tool(name)
    with Namespace() as namespace:
        if "nf_tables" not in namespace.run("iptables", "--version"):
            missing("iptables is the old one here, which nft does not list")
        uplink(namespace, outside)
        namespace.run("sh", "-ec", OWN_FILES)
        yield namespace
        namespace.run("ip", "link", "del", "up0")


def firewalls(host: Namespace, *, status: int) -> dict[str, str | None]:
    checks = json.loads(host.squib("host", "check", "--json", status=status))["checks"]
    return next(row for row in checks if row["name"] == "other firewalls")


def test_what_check_says_to_do_lets_a_guest_out(host: Namespace, outside: Namespace) -> None:
    outside.serve("192.0.2.2", PORT)
    host.squib("host", "setup", "--user", "nobody", "--tap", "tap0")
    found = firewalls(host, status=69)
    assert found["found"] == "ufw drops what squib forwards (table ip filter, chain FORWARD)"
    assert found["remedy"] is not None
    with Guest(host, "tap0", "172.17.100.2/24", "172.17.100.1", "AA:FC:00:00:00:01") as guest:
        assert guest.ask("192.0.2.2", PORT, patience=1) == "TimeoutError"
        host.run("sh", "-ec", found["remedy"])
        assert guest.ask("192.0.2.2", PORT) == "192.0.2.1"
    assert firewalls(host, status=0)["state"] == "ok"
    host.run("ufw", "reload")
    assert firewalls(host, status=0)["state"] == "ok", "ufw remembers it"
    rules = host.rules()
    host.squib("host", "teardown")
    assert "inet squib" in rules
    assert "inet squib" not in host.rules()
    assert 'iifname "squib*"' in host.rules(), "what ufw was told is ufw's"


def test_what_check_says_to_do_lets_a_guest_ask_the_host(host: Namespace) -> None:
    host.squib("host", "setup", "--user", "nobody", "--tap", "tap0", "--allow-host-port", str(PORT))
    host.serve("172.17.100.1", PORT)
    found = firewalls(host, status=69)
    assert found["found"] is not None
    assert "ufw drops what guests may ask of this host (table ip filter, chain INPUT)" in found["found"]
    assert found["remedy"] is not None
    with Guest(host, "tap0", "172.17.100.2/24", "172.17.100.1", "AA:FC:00:00:00:01") as guest:
        assert guest.ask("172.17.100.1", PORT, patience=1) == "TimeoutError"
        host.run("sh", "-ec", found["remedy"])
        assert guest.ask("172.17.100.1", PORT) == "172.17.100.2"
        assert guest.ask("172.17.100.1", PORT + 1, patience=1) == "TimeoutError"
    assert firewalls(host, status=0)["state"] == "ok"
