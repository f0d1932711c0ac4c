"""Other people's firewalls, as nft lists them: what is in the way, what mends it, and that the mended one is known as such.

The listings are shortened from real ones: firewalld 1.3.3 (its FORWARD chain and zones), and what an administrator may have.
"""

from __future__ import annotations

import pytest

from squib.model.host_network import HostPort
from squib.net.firewalls import blockers

DEVICES = ("squib+", "tap0")


def by(way: str, device: str) -> dict[str, object]:
    return {"match": {"op": "==", "left": {"meta": {"key": way}}, "right": device}}


def rule(table: str, chain: str, *expressions: dict[str, object]) -> dict[str, object]:
    return {"rule": {"family": "inet", "table": table, "chain": chain, "expr": list(expressions)}}


def firewalld(*zones: dict[str, object]) -> list[object]:
    forward = {"type": "filter", "hook": "forward", "prio": 10, "policy": "accept"}
    return [
        {"chain": {"family": "inet", "table": "firewalld", "name": "filter_FORWARD", **forward}},
        {"chain": {"family": "inet", "table": "firewalld", "name": "filter_FORWARD_ZONES"}},
        rule("firewalld", "filter_FORWARD", {"jump": {"target": "filter_FORWARD_ZONES"}}),
        rule("firewalld", "filter_FORWARD", {"reject": {"type": "icmpx", "expr": "admin-prohibited"}}),
        *zones,
        rule("firewalld", "filter_FORWARD_ZONES", {"goto": {"target": "filter_FWD_public"}}),
    ]


def zone(target: str, *expressions: dict[str, object]) -> dict[str, object]:
    return rule("firewalld", "filter_FORWARD_ZONES", *expressions, {"goto": {"target": target}})


def test_firewalld_is_in_the_way_until_it_trusts_each_device() -> None:
    (found,) = blockers(firewalld(), DEVICES)
    assert (found.whose, found.where) == ("firewalld", "table inet firewalld, chain filter_FORWARD")
    assert found.remedy == (
        "sudo firewall-cmd --zone=trusted --add-interface=squib+ && sudo firewall-cmd --zone=trusted --add-interface=tap0"
    )
    (found,) = blockers(firewalld(zone("filter_FWD_trusted", by("iifname", "squib*"))), DEVICES)
    assert found.remedy == "sudo firewall-cmd --zone=trusted --add-interface=tap0"


@pytest.mark.parametrize("target", ["filter_FWD_trusted", "filter_FWDI_trusted"])
def test_devices_that_firewalld_trusts_pass(target: str) -> None:
    assert blockers(firewalld(*(zone(target, by("iifname", name)) for name in ("squib*", "tap0"))), DEVICES) == ()
    assert blockers(firewalld(zone(target)), DEVICES) == (), "it is the zone of all devices"


@pytest.mark.parametrize(
    "zones",
    [
        (zone("filter_FWD_public", by("iifname", "tap0")),),
        (zone("filter_FWD_trusted", by("oifname", "tap0")),),
        (zone("filter_FWD_trusted", by("iifname", "tap0"), by("oifname", "eth0")),),
        (zone("filter_FWD_trusted", by("iifname", "tap1")),),
    ],
)
def test_what_is_no_trust_in_the_device(zones: tuple[dict[str, object], ...]) -> None:
    assert len(blockers(firewalld(*zones), ("tap0",))) == 1


PORTS = (HostPort("tcp", 5432), HostPort("udp", 53))


def to(protocol: str, port: int) -> dict[str, object]:
    return {"match": {"op": "==", "left": {"payload": {"protocol": protocol, "field": "dport"}}, "right": port}}


def strict(*rules: tuple[dict[str, object], ...]) -> list[object]:
    """A table that drops what comes for the host, but for what `rules` accept."""
    base = {"type": "filter", "hook": "input", "prio": 0, "policy": "drop"}
    chain = {"chain": {"family": "inet", "table": "strict", "name": "in", **base}}
    return [chain, *(rule("strict", "in", *one, {"accept": None}) for one in rules)]


def test_what_guests_may_ask_of_the_host_is_let_in() -> None:
    assert blockers(strict(), ("tap0",)) == (), "they may ask nothing"
    (found,) = blockers(strict(), ("tap0",), PORTS)
    assert (found.drops, found.where) == ("what guests may ask of this host", "table inet strict, chain in")
    assert found.remedy == (
        "sudo nft insert rule inet strict in iifname '\"tap0\"' tcp dport 5432 accept"
        " && sudo nft insert rule inet strict in iifname '\"tap0\"' udp dport 53 accept"
    )
    (found,) = blockers(strict((by("iifname", "tap0"), to("udp", 53))), ("tap0",), PORTS)
    assert "53 accept" not in found.remedy
    assert "5432 accept" in found.remedy


@pytest.mark.parametrize(
    "accepted",
    [
        (by("iifname", "tap0"),),
        (to("udp", 53),),
        (by("iifname", "tap0"), to("udp", 53)),
        ({"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "udp"}}, to("udp", 53)),
    ],
)
def test_rules_that_let_it_in(accepted: tuple[dict[str, object], ...]) -> None:
    assert blockers(strict(accepted), ("tap0",), PORTS[1:]) == ()


@pytest.mark.parametrize(
    "accepted",
    [
        (by("iifname", "eth0"), to("udp", 53)),
        (to("tcp", 53),),
        (to("udp", 54),),
        ({"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "udp"}},),
        (to("udp", 53), {"limit": {"rate": 1, "per": "second"}}, by("iifname", "eth0")),
    ],
)
def test_rules_that_do_not(accepted: tuple[dict[str, object], ...]) -> None:
    assert len(blockers(strict(accepted), ("tap0",), PORTS[1:])) == 1
