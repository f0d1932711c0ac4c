"""What squib changes on a host, each change as a value: it says what it does, does it, sees whether it holds, and undoes it.

The rule: an operation that raises has done nothing, and undoing what was not done, or was undone, changes nothing. Values that
were there before stand in the operation, so whoever has it can undo it; where somebody else has changed the same thing since,
theirs stays. They are kept as JSON (net.record), which is why they are Structs.
"""

from __future__ import annotations

import shlex
from ipaddress import IPv4Interface, IPv4Network
from typing import ClassVar, Self

import msgspec

from squib.errors import HostError, TakenError
from squib.host import command, links, nft, sysctl
from squib.model.host_network import HostPort, HostSettings, HostTap
from squib.net import ruleset
from squib.net.ruleset_text import table_text

__all__ = ["Operation", "Packets", "Setting", "Table", "Tap", "TapRules"]


class Operation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """One change; `key` tells which thing it is about: there is one of a key at a time."""

    @property
    def key(self) -> str:
        """What it changes."""
        raise NotImplementedError

    @property
    def in_place(self) -> bool:
        """Whether `run` takes the place of what another of this key did, so that it need not be undone first."""
        return False

    def describe(self) -> str:
        """The same as a command."""
        raise NotImplementedError

    def describe_undo(self) -> str:
        """The same, of undoing it."""
        raise NotImplementedError

    def detail(self) -> str:
        """What `describe` only names, in lines; empty where that says all."""
        return ""

    def holds(self) -> bool:
        """Whether it is in force."""
        raise NotImplementedError

    def same(self, other: object) -> bool:
        """Whether `other` is to do the same; what was there before, or was seen since, is no difference."""
        return self == other

    def run(self) -> Self:
        """Does it; itself, with what is to be remembered of how it went."""
        raise NotImplementedError

    def undo(self) -> str:
        """Undoes it; what could not be put back because somebody else changed it, in words, else empty."""
        raise NotImplementedError


class Setting(Operation, frozen=True, forbid_unknown_fields=True, tag="setting"):
    """A kernel setting, by its path below /proc/sys."""

    name: str
    value: str
    before: str

    @property
    def key(self) -> str:
        """What it changes."""
        return f"setting {self.name}"

    def describe(self) -> str:
        """The same as a command."""
        return f"echo {shlex.quote(self.value)} > /proc/sys/{self.name}    # it is {self.before}"

    def describe_undo(self) -> str:
        """The same, of undoing it."""
        return f"echo {shlex.quote(self.before)} > /proc/sys/{self.name}"

    def holds(self) -> bool:
        """Whether it is in force."""
        return sysctl.read(self.name) == self.value

    def run(self) -> Self:
        """Does it."""
        sysctl.write(self.name, self.value)
        return self

    def same(self, other: object) -> bool:
        """Whether `other` is to do the same."""
        return isinstance(other, Setting) and (self.name, self.value) == (other.name, other.value)

    def undo(self) -> str:
        """Undoes it."""
        match sysctl.read(self.name):
            case None:
                return ""  # its device has gone
            case self.value:
                sysctl.write(self.name, self.before)
                return ""
            case self.before:
                return ""
            case other:
                return f"/proc/sys/{self.name} is {other} by now, which squib did not set: it stays so"


class Table(Operation, frozen=True, forbid_unknown_fields=True, tag="table"):
    """squib's nftables table for these settings; the taps in it stay over a change of settings.

    `seen` is the digest of what nft listed right after it was made: a listing is not always worded as what was asked for.
    """

    uplink: str
    """One device, or several with a space between, which no name has (net/core/dev.c, dev_valid_name)."""
    host_ports: tuple[tuple[str, int], ...]
    pool: str
    seen: str = ""

    @classmethod
    def of(cls, settings: HostSettings) -> Table:
        """The table for `settings`."""
        ports = tuple((one.protocol, one.port) for one in settings.host_ports)
        return cls(" ".join(settings.uplinks), ports, str(settings.pool))

    @property
    def settings(self) -> HostSettings:
        """What it was made for."""
        ports = tuple(HostPort(*one) for one in self.host_ports)
        return HostSettings(tuple(self.uplink.split(" ")), IPv4Network(self.pool), ports)

    @property
    def key(self) -> str:
        """What it changes."""
        return "table"

    @property
    def in_place(self) -> bool:
        """Whether it takes the other's place: machines go on."""
        return True

    def describe(self) -> str:
        """The same as a command."""
        ports = "".join(f", guests may reach {port}/{protocol} of the host" for protocol, port in self.host_ports)
        return f"nft add table inet squib    # out of {' and '.join(self.settings.uplinks)}{ports}; docs/host.md has the rules"

    def detail(self) -> str:
        """The rules."""
        return table_text(ruleset.create_table(self.settings))

    def describe_undo(self) -> str:
        """The same, of undoing it."""
        return "nft delete table inet squib"

    def holds(self) -> bool:
        """Whether it is in force, rule for rule."""
        listing = nft.list_table(**ruleset.TABLE)
        return listing is not None and ruleset.digest(listing) == self.seen

    def run(self) -> Self:
        """Does it."""
        listing = nft.list_table(**ruleset.TABLE) or ()
        nft.apply((*ruleset.create_table(self.settings), *ruleset.keep_elements(listing)))
        return msgspec.structs.replace(self, seen=ruleset.digest(nft.list_table(**ruleset.TABLE) or ()))

    def same(self, other: object) -> bool:
        """Whether `other` is to do the same."""
        return isinstance(other, Table) and self.settings == other.settings

    def undo(self) -> str:
        """Undoes it."""
        if nft.list_table(**ruleset.TABLE) is not None:
            nft.apply(ruleset.delete_table())
        return ""


class TapRules(Operation, frozen=True, forbid_unknown_fields=True, tag="tap rules"):
    """What the guest behind a tap of `setup --tap` may do: use its network, and go out."""

    name: str
    address: str

    @property
    def tap(self) -> HostTap:
        """As the rules want it."""
        return HostTap(self.name, IPv4Interface(self.address), outbound=True)

    @property
    def key(self) -> str:
        """What it changes."""
        return f"rules of {self.name}"

    def describe(self) -> str:
        """The same as a command."""
        return f"nft add element inet squib taps {{ {self.name} }}    # for all addresses of its network"

    def describe_undo(self) -> str:
        """The same, of undoing it."""
        return f"nft delete element inet squib taps {{ {self.name} }}"

    def holds(self) -> bool:
        """Whether it is in force."""
        listing = nft.list_table(**ruleset.TABLE)
        return listing is not None and ruleset.has_tap(listing, self.tap)

    def run(self) -> Self:
        """Does it."""
        nft.apply(ruleset.add_tap(self.tap))
        return self

    def undo(self) -> str:
        """Undoes it."""
        if self.holds():
            nft.apply(ruleset.remove_tap(self.tap))
        return ""


class Tap(Operation, frozen=True, forbid_unknown_fields=True, tag="tap"):
    """A tap that a plain user may open; `user` is for people, `uid` is who."""

    name: str
    address: str
    user: str
    uid: int

    @property
    def key(self) -> str:
        """What it changes."""
        return f"tap {self.name}"

    def describe(self) -> str:
        """The same as a command."""
        return (
            f"ip tuntap add {self.name} mode tap user {shlex.quote(self.user)}"
            f" && ip addr add {self.address} dev {self.name} && ip link set {self.name} up"
        )

    def describe_undo(self) -> str:
        """The same, of undoing it."""
        return f"ip tuntap del {self.name} mode tap"

    def holds(self) -> bool:
        """Whether it is in force."""
        device = links.devices().get(self.name)
        address = IPv4Interface(self.address)
        return (
            device is not None
            and (device.is_tap, device.alias, device.owner, device.up) == (True, links.ALIAS, self.uid, True)
            and any(route.device == self.name and route.network == address.network for route in links.routes())
        )

    def run(self) -> Self:
        """Does it."""
        links.add_tap(self.name, IPv4Interface(self.address), owner=self.uid)
        return self

    def undo(self) -> str:
        """Undoes it."""
        try:
            links.delete(self.name)
        except TakenError as error:
            return str(error)
        return ""


class Packets(Operation, frozen=True, forbid_unknown_fields=True, tag="packets"):
    """A rule of another tool's, at the head of its `chain` in the table filter: `rule` as iptables(8) has it."""

    chain: str
    rule: tuple[str, ...]

    _PROGRAM: ClassVar[str] = "iptables"

    @property
    def key(self) -> str:
        """What it changes."""
        return f"rule {shlex.join(self.rule)} in {self.chain}"

    def describe(self) -> str:
        """The same as a command."""
        return f"{self._PROGRAM} -I {self.chain} {shlex.join(self.rule)}"

    def describe_undo(self) -> str:
        """The same, of undoing it."""
        return f"{self._PROGRAM} -D {self.chain} {shlex.join(self.rule)}"

    def holds(self) -> bool:
        """Whether it is in force."""
        try:
            self._iptables("-C")
        except HostError:
            return False
        return True

    def run(self) -> Self:
        """Does it."""
        self._iptables("-I")
        return self

    def undo(self) -> str:
        """Undoes it; where its tool has emptied the chain since, there is nothing to do."""
        if self.holds():
            self._iptables("-D")
        return ""

    def _iptables(self, verb: str) -> None:
        command.run([self._PROGRAM, "-w", "10", verb, self.chain, *self.rule], timeout=30, package="iptables")
