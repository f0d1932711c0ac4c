"""Other people's firewalls: what in them drops packets that squib's table lets through, and the exact command that mends it.

A drop in any base chain of a hook is final (nft(8), "verdict statements"): no table of ours can take it back. What
nft lists is read without trusting its form; what is not understood is passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from squib.model.host_network import HostPort
from squib.net.ruleset import TABLE

__all__ = ["DOCKER_USER", "Blocker", "blockers", "docker_rules", "has_docker", "legacy_policy_drops"]

DOCKER_USER = "DOCKER-USER"
"""The chain that Docker leaves to others (its documentation, "Packet filtering and firewalls")."""
_FIREWALLD = "firewalld"
_ACCEPT = {"accept": None}
_Rule = dict[str, object]
"""As libnftables-json(5) has it."""


@dataclass(frozen=True, slots=True)
class Blocker:
    """A base chain that drops what it does not know: whose it is, what it `drops` of ours, and the `remedy`."""

    where: str
    whose: str
    drops: str
    remedy: str


def blockers(listing: Sequence[object], devices: Sequence[str], ports: Sequence[HostPort] = ()) -> tuple[Blocker, ...]:
    """The chains, other than ours, whose end is a drop of what guests need.

    `devices` as iptables names them (`squib+`); `ports`: what guests may ask of the host itself, at the hook input.
    """
    entries = [entry for entry in listing if isinstance(entry, dict)]
    chains = [chain for entry in entries if isinstance(chain := entry.get("chain"), dict)]
    rules = [rule for entry in entries if isinstance(rule := entry.get("rule"), dict)]
    ours, found = (TABLE["family"], TABLE["name"]), []
    for chain in chains:
        family, table, name = (str(chain.get(key, "")) for key in ("family", "table", "name"))
        if str(chain.get("hook")) not in {"forward", "input"} or family not in {"ip", "inet"} or (family, table) == ours:
            continue
        beside = [rule for rule in rules if (rule.get("family"), rule.get("table")) == (family, table)]
        own = [rule for rule in beside if rule.get("chain") == name]
        if chain.get("policy") != "drop" and not (own and _drops_all(own[-1])):
            continue
        place = _Place(family, table, name, frozenset(_names(chains, family, table)))
        shut = _shut_forward if chain.get("hook") == "forward" else _shut_input
        if blocker := shut(place, beside, devices, ports):
            found.append(blocker)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Place:
    """A chain, and the names of all chains of its table."""

    family: str
    table: str
    chain: str
    beside: frozenset[str]

    def __str__(self) -> str:
        return f"table {self.family} {self.table}, chain {self.chain}"

    @property
    def iptables(self) -> bool:
        """Whether it is of iptables' table filter."""
        return (self.family, self.table) == ("ip", "filter")


def _names(chains: Iterable[dict[str, object]], family: str, table: str) -> Iterator[str]:
    return (str(chain.get("name")) for chain in chains if (chain.get("family"), chain.get("table")) == (family, table))


def has_docker(listing: Sequence[object]) -> bool:
    """Whether Docker's chain for others is in force."""
    chains = [entry.get("chain") for entry in listing if isinstance(entry, dict)]
    return any(
        isinstance(chain, dict) and (chain.get("table"), chain.get("name")) == ("filter", DOCKER_USER) for chain in chains
    )


def docker_rules(devices: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """What lets packets of `devices` past Docker's policy, as iptables(8) has it; squib's own table has looked at them."""
    return tuple(
        (direction, device, "-m", "comment", "--comment", "squib", "-j", "ACCEPT")
        for device in devices
        for direction in ("-i", "-o")
    )


def legacy_policy_drops(saved: str) -> bool:
    """Whether what `iptables-legacy -S FORWARD` printed begins with a drop policy; nft does not list these."""
    return any(line.split() == ["-P", "FORWARD", "DROP"] for line in saved.splitlines())


def _drops_all(rule: _Rule) -> bool:
    """Whether a rule without any condition drops or rejects."""
    kinds = [next(iter(one), "") if isinstance(one, dict) else "" for one in _expressions(rule)]
    return bool(kinds) and kinds[-1] in {"drop", "reject"} and all(kind in {"counter", "log"} for kind in kinds[:-1])


def _shut_forward(place: _Place, rules: Sequence[_Rule], devices: Sequence[str], _ports: Sequence[HostPort]) -> Blocker | None:
    """For packets that are forwarded; what goes out by a device that firewalld trusts are answers and published ports."""
    if place.table == _FIREWALLD:
        shut = [device for device in devices if not any(_trusts(rule, "FWD", device) for rule in rules)]
    else:
        shut = [
            device
            for device in devices
            if not all(any(_accepts(rule, _by(way, device)) for rule in rules) for way in ("iifname", "oifname"))
        ]
    if not shut:
        return None
    both = [(way, device) for device in shut for way in ("-i", "-o")]
    drops = "what squib forwards"
    if place.iptables and DOCKER_USER in place.beside:
        return Blocker(str(place), "Docker", drops, "sudo squib host setup --docker-user")
    if place.iptables and "ufw-user-forward" in place.beside:
        ways = {"-i": "in", "-o": "out"}
        return Blocker(str(place), "ufw", drops, _all(f"sudo ufw route allow {ways[way]} on {device}" for way, device in both))
    if place.table == _FIREWALLD:
        return Blocker(str(place), "firewalld", drops, _trust(shut))
    if place.iptables:
        commands = (f"sudo iptables -I {place.chain} {way} {device} -j ACCEPT" for way, device in both)
        return Blocker(str(place), "iptables", drops, _all(commands))
    names = {"-i": "iifname", "-o": "oifname"}
    return Blocker(str(place), "somebody", drops, _all(_insert(place, f"{names[way]} {_quoted(dev)}") for way, dev in both))


def _shut_input(place: _Place, rules: Sequence[_Rule], devices: Sequence[str], ports: Sequence[HostPort]) -> Blocker | None:
    """For what guests ask of the host itself."""
    shut = [
        (device, port)
        for device in devices
        for port in ports
        if not any(_trusts(rule, "IN", device) or _accepts(rule, _by("iifname", device), *_to_port(port)) for rule in rules)
    ]
    if not shut:
        return None
    drops = "what guests may ask of this host"
    if place.iptables and "ufw-user-input" in place.beside:
        rule = "sudo ufw allow in on {} to any port {} proto {}"
        return Blocker(str(place), "ufw", drops, _all(rule.format(dev, port.port, port.protocol) for dev, port in shut))
    if place.table == _FIREWALLD:
        return Blocker(str(place), "firewalld", drops, _trust(dict.fromkeys(device for device, _ in shut)))
    if place.iptables:
        rule = f"sudo iptables -I {place.chain} -i {{}} -p {{}} --dport {{}} -j ACCEPT"
        return Blocker(str(place), "iptables", drops, _all(rule.format(dev, port.protocol, port.port) for dev, port in shut))
    said = (_insert(place, f"iifname {_quoted(dev)} {port.protocol} dport {port.port}") for dev, port in shut)
    return Blocker(str(place), "somebody", drops, _all(said))


def _all(commands: Iterable[str]) -> str:
    return " && ".join(commands)


def _trust(devices: Iterable[str]) -> str:
    return _all(f"sudo firewall-cmd --zone=trusted --add-interface={device}" for device in devices)


def _insert(place: _Place, match: str) -> str:
    return f"sudo nft insert rule {place.family} {place.table} {place.chain} {match} accept"


def _quoted(device: str) -> str:
    """For nft, within a shell."""
    return f"'\"{device.replace('+', '*')}\"'"


def _by(way: str, device: str) -> dict[str, object]:
    return {"op": "==", "left": {"meta": {"key": way}}, "right": device.replace("+", "*")}


def _to_port(port: HostPort) -> tuple[dict[str, object], ...]:
    """How a rule may say which port it is about; iptables says the protocol once more."""
    number = {"payload": {"protocol": port.protocol, "field": "dport"}}
    protocol = {"meta": {"key": "l4proto"}}
    return {"op": "==", "left": number, "right": port.port}, {"op": "==", "left": protocol, "right": port.protocol}


def _accepts(rule: _Rule, *wanted: dict[str, object]) -> bool:
    """Whether it accepts, on no other conditions than some of those, and not only for a protocol."""
    matches = _matches(rule)
    return _ACCEPT in _expressions(rule) and any(one in matches for one in wanted[:2]) and all(one in wanted for one in matches)


def _trusts(rule: _Rule, hook: str, device: str) -> bool:
    """Whether it sends what comes in by `device` to firewalld's zone `trusted`, which accepts all."""
    targets = [{"goto": {"target": f"filter_{hook}_trusted"}}, {"goto": {"target": f"filter_{hook}I_trusted"}}]
    return any(one in _expressions(rule) for one in targets) and _matches(rule) in ([], [_by("iifname", device)])


def _expressions(rule: _Rule) -> list[object]:
    expressions = rule.get("expr")
    return expressions if isinstance(expressions, list) else []


def _matches(rule: _Rule) -> list[object]:
    return [one["match"] for one in _expressions(rule) if isinstance(one, dict) and "match" in one]
