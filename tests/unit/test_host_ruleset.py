"""The table, as commands for nft; and what is read of a table that nft lists."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from squib.model.host_network import HostPort, HostSettings, HostTap
from squib.model.machine import PortForward
from squib.net import ruleset
from support import golden

SETTINGS = HostSettings(("eth0",), IPv4Network("10.83.0.0/16"), (HostPort("tcp", 5432), HostPort("udp", 53)))
MACHINE = HostTap(
    "squib0",
    IPv4Interface("10.83.0.1/30"),
    IPv4Address("10.83.0.2"),
    "06:73:0a:53:00:02",
    outbound=True,
    forwards=(PortForward(IPv4Address("0.0.0.0"), 8080, 80), PortForward(IPv4Address("127.0.0.1"), 8081, 81)),
)
SEED = HostTap("tap0", IPv4Interface("172.17.100.1/24"), outbound=True)


def text(commands: tuple[ruleset.Command, ...]) -> str:
    return "".join(json.dumps(command) + "\n" for command in commands)


def test_the_table(update_golden: bool) -> None:
    golden("nft-table.jsonl", text(ruleset.create_table(SETTINGS)), update=update_golden)


def test_taps(update_golden: bool) -> None:
    commands = (*ruleset.add_tap(MACHINE), *ruleset.add_tap(SEED), *ruleset.remove_tap(MACHINE), *ruleset.remove_tap(SEED))
    golden("nft-taps.jsonl", text(commands), update=update_golden)


def listed(tap: HostTap) -> list[object]:
    """A listing as nft gives it, with the elements of `tap`."""
    entries: list[object] = [{"metainfo": {"version": "1"}}, {"table": {"family": "inet", "name": "squib", "handle": 1}}]
    for command in ruleset.add_tap(tap):
        element = command["create"]["element"]  # type: ignore[index]
        kind = "map" if element["name"].startswith("publish") else "set"
        entries.append({kind: {**element, "handle": 2}})
    return entries


def test_a_listing_is_read_back() -> None:
    listing = listed(MACHINE)
    assert ruleset.taps(listing) == {"squib0"}
    assert ruleset.has_tap(listing, MACHINE)
    assert not ruleset.has_tap(listing, SEED)
    kept = [command["add"]["element"] for command in ruleset.keep_elements(listing)]  # type: ignore[index]
    made = [command["create"]["element"] for command in ruleset.add_tap(MACHINE)]  # type: ignore[index]
    assert kept == made


def test_a_digest_tells_of_rules_and_not_of_taps_and_counters() -> None:
    rule = {"chain": "leaving", "handle": 9, "expr": [{"counter": {"packets": 1, "bytes": 2}}, {"drop": None}]}
    one = [*listed(MACHINE), {"rule": rule}]
    other = [*listed(SEED), {"rule": {**rule, "handle": 10, "expr": [{"counter": {"packets": 7, "bytes": 8}}, {"drop": None}]}}]
    sets = [entry for entry in one if "set" in entry or "map" in entry]  # type: ignore[operator]
    assert ruleset.digest(one) != ruleset.digest(sets)
    assert ruleset.digest([{"rule": rule}]) == ruleset.digest(other[-1:])
    assert ruleset.digest([{"rule": rule}]) != ruleset.digest([{"rule": {**rule, "expr": [{"accept": None}]}}])
    assert ruleset.digest(listed(MACHINE)[:3]) == ruleset.digest(listed(SEED)[:3])
