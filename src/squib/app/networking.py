"""A machine's own network on the host: leased, made, and taken away again when the machine is over, whoever notices it.

The order is what makes a crash harmless: lease, rules, tap; and back: tap, rules, lease. So a lease is there as long as
anything of it may be, no tap is ever there without its rules, and any later command finds what was left. The host's lock is
held meanwhile (net.record), as `squib host setup` and `teardown` do.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from squib.app import user_networks
from squib.errors import MissingError, PermissionDeniedError, SquibError, TakenError, UsageError
from squib.host import links, nft, resolvers
from squib.host.process import boot_id
from squib.model.host_network import HostSettings, HostTap, Slot
from squib.model.machine import MachineConfig, PortForward, VmmKind
from squib.model.run import RunSpec
from squib.net import ruleset
from squib.net.addresses import free_slot
from squib.net.operations import Table
from squib.net.record import Record
from squib.store import Machine, NetworkLease, Store
from squib.vmm.plan import with_slot

__all__ = ["HostNetworks", "resolve"]

_SETUP = "sudo squib host setup"


def resolve(spec: RunSpec, wish: str) -> RunSpec:
    """`spec` with what `--network` (auto, host, user, none) comes to here. Raises UsageError where it contradicts `spec`.

    For Firecracker without a tap `auto` is `host` for root, on a host that is set up, and `user` for others, where that can be.
    For QEMU it is `user` where the guest may go out: QEMU's own network can keep everything from it, or nothing.
    """
    firecracker = spec.vmm is VmmKind.FIRECRACKER and spec.tap is None
    _refuse(spec, wish, firecracker=firecracker)
    if wish in {"host", "user"}:
        return replace(spec, host_network=wish == "host", user_network=wish == "user")
    if wish == "none" or spec.tap is not None:
        return spec
    if not firecracker:
        return replace(spec, user_network=spec.outbound)
    if os.geteuid() == 0:
        return replace(spec, host_network=spec.outbound or _is_set_up())
    return replace(spec, user_network=spec.outbound or not user_networks.missing())


def _refuse(spec: RunSpec, wish: str, *, firecracker: bool) -> None:
    """Raises UsageError where `wish` contradicts `spec`."""
    if spec.outbound and spec.tap is not None:
        raise UsageError("--outbound and --tap: what a guest reaches by a tap, the rules of that tap say", hint="leave one out")
    if spec.outbound and wish == "none":
        raise UsageError("--outbound and --network none contradict each other", hint="leave one out")
    if wish == "host" and not firecracker:
        raise UsageError(
            "--network host is for Firecracker without --tap", hint="add --vmm firecracker; or leave --network out"
        )
    if wish == "user" and spec.tap is not None:
        raise UsageError("--network user and --tap contradict each other", hint="leave one out")
    if wish == "user" and firecracker and os.geteuid() == 0:
        raise UsageError("--network user is for users who are not root, in Firecracker", hint=f"--network host, after {_SETUP}")


@dataclass(frozen=True, slots=True)
class HostNetworks:
    """The networks of the machines in `store`."""

    store: Store

    def attach(self, machine: Machine, config: MachineConfig, *, outbound: bool) -> MachineConfig:
        """`config` with a network of its own, whose rules are there; its tap is to be made when it is launched.

        Raises PermissionDeniedError (not root), MissingError (the host is not set up, or its uplink has gone and the machine
        is to go out by it), TakenError (no network is left, or a port is published by another machine), UnavailableError (no
        nft). Nothing of it is left then.
        """
        if os.geteuid() != 0:
            raise PermissionDeniedError(
                "only root may give a machine a network of the host's", hint="--network user; or sudo squib run …; or --tap"
            )
        record = Record()
        with record.locked():
            settings = _settings(record)
            if settings is None:
                raise MissingError("this host is not set up for machines with a network of their own", hint=_SETUP)
            gone = [one for one in settings.uplinks if outbound and one not in links.devices()]
            if gone:
                raise MissingError(f"the network device {gone[0]}, by which guests leave this host, is gone", hint=_SETUP)
            lease = self._lease(machine, settings)
            try:
                nft.apply(ruleset.add_tap(_host_tap(lease.slot, machine.forwards, outbound=outbound)))
            except BaseException:
                self._release(lease)
                raise
        return with_slot(config, lease.slot, machine.forwards, resolvers.read() if outbound else ())

    def detach(self, machine: Machine) -> None:
        """Takes the machine's network away; nothing happens where it has none."""
        self._take_away([lease for lease in self.store.network_leases() if lease.machine_id == machine.id])

    def tidy(self) -> None:
        """Takes away the networks of machines that are over or gone."""
        self._take_away([lease for lease in self.store.network_leases() if self._is_over(lease)], only=self._is_over)

    def _is_over(self, lease: NetworkLease) -> bool:
        machine = self.store.find(lease.machine_id)
        return machine is None or machine.over

    def _lease(self, machine: Machine, settings: HostSettings) -> NetworkLease:
        routes = [route.network for route in links.routes() if not route.leads_out]
        devices = links.devices()
        return self.store.lease_network(
            machine.id, links.network_id(), lambda taken: free_slot(settings.pool, taken, routes, devices)
        )

    def _take_away(self, leases: list[NetworkLease], only: Callable[[NetworkLease], bool] = lambda _: True) -> None:
        # What is in another network namespace is left to whoever looks from there; an earlier boot's went with it.
        mine = [one for one in leases if one.boot_id == boot_id() and one.network_id == links.network_id()]
        if mine:
            with Record().locked():
                for lease in filter(only, mine):  # asked under the lock: a machine that was over may be starting again
                    self._release(lease)

    def _release(self, lease: NetworkLease) -> None:
        """To be called with the lock held. Raises SquibError where something cannot be taken away; the lease stays then."""
        known = {(one.network_id, one.slot.tap, one.machine_id) for one in self.store.network_leases()}
        if (lease.network_id, lease.slot.tap, lease.machine_id) not in known:
            return  # somebody was first, and the tap may be another's by now
        with contextlib.suppress(TakenError):  # ours has gone, and somebody else's bears its name: that stays
            links.delete(lease.slot.tap)
        listing = nft.list_table(**ruleset.TABLE) or ()
        nft.apply(ruleset.forget_tap(listing, _host_tap(lease.slot, (), outbound=False)))
        self.store.release_network(lease)


def _settings(record: Record) -> HostSettings | None:
    """What the host was set up with; None where it was not, or where its rules have gone. Raises UnavailableError (no nft)."""
    table = next((one for one in record.load() if isinstance(one, Table)), None)
    return table.settings if table is not None and nft.list_table(**ruleset.TABLE) is not None else None


def _is_set_up() -> bool:
    with contextlib.suppress(SquibError):
        return _settings(Record()) is not None
    return False


def _host_tap(slot: Slot, forwards: tuple[PortForward, ...], *, outbound: bool) -> HostTap:
    return HostTap(slot.tap, slot.host, slot.guest.ip, slot.guest_mac, outbound=outbound, forwards=forwards)
