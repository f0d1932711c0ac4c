"""`squib host check`: whether this host is set up for guests' networks, one row after the other.

A look that fails is a row as well. Nothing is changed. What is missing makes a network fail, or a guest less closed in than it
should be; a warning is for what squib works without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from squib.app import hosting, jailer_check, verdicts
from squib.errors import SquibError, UnavailableError
from squib.host import command, kvm, nft, survey
from squib.model.findings import DeviceFound, KvmFound, Level, Row, Unlooked, User
from squib.net import ruleset
from squib.net.addresses import TAP_PREFIX
from squib.net.firewalls import blockers, legacy_policy_drops
from squib.net.host_plan import HostFound, devices_of, uplinks_of
from squib.net.operations import Packets, Table, Tap, TapRules
from squib.net.record import AnyOperation, Record

__all__ = ["examine"]

_KVM, _TUN = Path("/dev/kvm"), Path("/dev/net/tun")
_LEGACY_S = 10.0
_SETUP = "sudo squib host setup"


def examine() -> Iterator[Row]:
    """The rows, as they are found."""
    user = survey.user()
    for row in _rows(user):
        yield replace(row, remedy=row.remedy.replace("sudo ", "")) if user.root else row


def _rows(user: User) -> Iterator[Row]:
    yield _row("kvm", partial(_kvm, user), level=Level.WARNING)
    yield _row("tun", lambda: verdicts.tun(survey.device(_TUN, module="tun"), user), level=Level.WARNING)
    yield _row("jailer", lambda: verdicts.jailer(jailer_check.look()), level=Level.WARNING)
    yield _row("nft", lambda: verdicts.program(survey.program(nft.PROGRAM, package=nft.PACKAGE), user))
    try:
        found, recorded = hosting.look(), Record().load()
    except SquibError as error:
        yield verdicts.unlooked("network", Unlooked(str(error), error.hint), needed=True)
        return
    table = next((one for one in recorded if isinstance(one, Table)), None)
    yield _row("uplink", lambda: _uplink(found, table))
    yield _row("forwarding", lambda: _forwarding(found, table))
    yield _row("rules", lambda: _rules(table))
    yield _row("taps", lambda: _taps(found, recorded))
    yield _row("pool", lambda: _pool(found, table))
    yield _row("other firewalls", lambda: _firewalls(recorded, table))


def _row(name: str, look: Callable[[], Row], *, level: Level = Level.MISSING) -> Row:
    try:
        return look()
    except SquibError as error:
        privileged = error.exit_code == 77
        needed = level is Level.MISSING and not privileged
        return verdicts.unlooked(
            name, Unlooked(str(error), "sudo squib host check" if privileged else error.hint), needed=needed
        )


def _kvm(user: User) -> Row:
    looked = kvm.look(_KVM)
    device = DeviceFound(_KVM, survey.permissions(_KVM), looked.problem, looked.hint)
    if looked.problem:
        return verdicts.kvm(KvmFound(device, looked.module, looked.hardware), user)
    hardware = "" if looked.hardware else "; no hardware is behind it, which is slow or fails: squib doctor tries it"
    return Row("kvm", Level.OK if looked.hardware else Level.WARNING, f"{_KVM} opens ({device.who}){hardware}")


def _uplink(found: HostFound, table: Table | None) -> Row:
    now = uplinks_of(found.routes)
    if table is None:
        if not now:
            says = "this host has no default route for IPv4, which is all that guests speak"
            return Row("uplink", Level.MISSING, says, f"{_SETUP} --uplink DEVICE")
        return Row("uplink", Level.OK, f"{' and '.join(now)}, by the default route")
    uplinks = table.settings.uplinks
    told, gone = " and ".join(uplinks), [one for one in uplinks if one not in found.devices]
    if gone:
        return Row("uplink", Level.MISSING, f"{gone[0]} is gone; guests' packets leave by nothing else", _SETUP)
    if not set(now) <= set(uplinks):
        remedy = f"{_SETUP} --uplink {now[0]}" if len(now) == 1 else f"sudo squib host teardown && {_SETUP}"
        return Row("uplink", Level.WARNING, f"{told}, but the default route goes by {' and '.join(now)} now", remedy)
    return Row("uplink", Level.OK, told)


def _forwarding(found: HostFound, table: Table | None) -> Row:
    uplinks = uplinks_of(found.routes) if table is None else table.settings.uplinks
    off = [one for one in uplinks if found.forwarding.get(one) != "1"]
    if uplinks and not off:
        return Row("forwarding", Level.OK, f"on for {' and '.join(uplinks)}")
    where = " and ".join(off) or "every device"
    return Row("forwarding", Level.MISSING, f"off for {where}: guests reach nothing outside", _SETUP)


def _rules(table: Table | None) -> Row:
    listing = nft.list_table(**ruleset.TABLE)
    if listing is None:
        was = "squib's table was removed by somebody" if table else "squib's table is not there"
        return Row("rules", Level.MISSING, f"{was}: this host is not set up", _SETUP)
    if table is None:
        return Row("rules", Level.MISSING, "squib's table is there, but not by this setup", _SETUP)
    if ruleset.digest(listing) != table.seen:
        return Row("rules", Level.MISSING, "somebody changed squib's table", _SETUP)
    ports = ", ".join(f"{port}/{protocol}" for protocol, port in table.host_ports)
    return Row("rules", Level.OK, f"in force{f'; guests may reach {ports} of the host' if ports else ''}")


def _taps(found: HostFound, recorded: Sequence[AnyOperation]) -> Row:
    taps = [one for one in recorded if isinstance(one, Tap | TapRules)]
    broken = sorted({one.name for one in taps if not one.holds()})
    if broken:
        return Row("taps", Level.MISSING, f"not as they were made: {', '.join(broken)}", _SETUP)
    known = ruleset.taps(nft.list_table(**ruleset.TABLE) or ())
    open_ones = sorted(name for name in found.devices if name.startswith(TAP_PREFIX) and name not in known)
    if open_ones:
        says = f"no rule holds the guests behind {', '.join(open_ones)}: was the ruleset flushed?"
        return Row("taps", Level.MISSING, says, "stop these machines: sudo squib ps")
    own = [f"{one.name} {one.address} for {one.user}" for one in taps if isinstance(one, Tap)]
    machines = len([name for name in found.devices if name.startswith(TAP_PREFIX)])
    return Row("taps", Level.OK, "; ".join([*own, f"{machines} of machines"]))


def _pool(found: HostFound, table: Table | None) -> Row:
    if table is None:
        return Row("pool", Level.OK, "none yet: setup chooses one")
    pool = table.settings.pool
    met = [
        route
        for route in found.routes
        if not route.leads_out and route.network.overlaps(pool) and not route.device.startswith(TAP_PREFIX)
    ]
    if met:
        says = f"{pool}, but the host routes {met[0].network} by {met[0].device or 'a blackhole'}: machines get what is left"
        return Row("pool", Level.WARNING, says, f"{_SETUP} --pool NETWORK")
    return Row("pool", Level.OK, f"{pool}, {pool.num_addresses // 4} machines")


def _firewalls(recorded: Sequence[AnyOperation], table: Table | None) -> Row:
    devices = devices_of(recorded)
    found = blockers(nft.list_ruleset(), devices, () if table is None else table.settings.host_ports)
    if found:
        says = "; ".join(f"{one.whose} drops {one.drops} ({one.where})" for one in found)
        return Row("other firewalls", Level.MISSING, says, " && ".join(one.remedy for one in found))
    if _legacy_drops():
        rules = [f"sudo iptables-legacy -I FORWARD {way} {device} -j ACCEPT" for device in devices for way in ("-i", "-o")]
        says = "iptables-legacy's policy drops what squib forwards (table filter, chain FORWARD)"
        return Row("other firewalls", Level.MISSING, says, " && ".join(rules))
    added = any(isinstance(one, Packets) for one in recorded)
    return Row("other firewalls", Level.OK, "Docker lets squib's taps pass, as asked" if added else "none is in the way")


def _legacy_drops() -> bool:
    """Only where the old tables are loaded: asking for them would load them."""
    names = Path("/proc/net/ip_tables_names")
    if not names.exists() or "filter" not in names.read_text(encoding="ascii").split():
        return False
    try:
        return legacy_policy_drops(
            command.run(["iptables-legacy", "-S", "FORWARD"], timeout=_LEGACY_S).decode(errors="replace")
        )
    except UnavailableError:
        return False
