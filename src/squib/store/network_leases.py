"""Networks of machines as leases: whoever commits first has one. To be called in a transaction, so that the answer holds.

A lease outlives its machine's record: it goes when its tap and its rules have gone, whatever crash came between.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Interface

from squib.host.process import boot_id
from squib.model.host_network import Slot

__all__ = ["NetworkLease", "lease_network", "network_leases", "release_network"]


@dataclass(frozen=True, slots=True)
class NetworkLease:
    """`machine_id` has `slot` on the network `network_id` of this host, in that boot of it."""

    machine_id: str
    slot: Slot
    boot_id: str
    network_id: str


def lease_network(
    connection: sqlite3.Connection, machine_id: str, network_id: str, choose: Callable[[frozenset[str]], Slot]
) -> NetworkLease:
    """What `choose` takes, being told which networks are leased in this boot (as text). Raises what it raises."""
    boot = boot_id()
    # What an earlier boot left is nobody's: its taps and rules went with it.
    connection.execute("DELETE FROM network_leases WHERE boot_id != ?", (boot,))
    taken = connection.execute("SELECT host FROM network_leases WHERE network_id = ?", (network_id,)).fetchall()
    slot = choose(frozenset(str(IPv4Interface(row["host"]).network) for row in taken))
    connection.execute(
        "INSERT INTO network_leases (network_id, tap, machine_id, boot_id, host, guest, guest_mac)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (network_id, slot.tap, machine_id, boot, str(slot.host), str(slot.guest), slot.guest_mac),
    )
    return NetworkLease(machine_id, slot, boot, network_id)


def network_leases(connection: sqlite3.Connection) -> tuple[NetworkLease, ...]:
    """All of them."""
    rows = connection.execute("SELECT * FROM network_leases ORDER BY rowid").fetchall()
    return tuple(
        NetworkLease(
            row["machine_id"],
            Slot(row["tap"], IPv4Interface(row["host"]), IPv4Interface(row["guest"]), row["guest_mac"]),
            row["boot_id"],
            row["network_id"],
        )
        for row in rows
    )


def release_network(connection: sqlite3.Connection, lease: NetworkLease) -> None:
    """It is free. Unknown is fine."""
    connection.execute(
        "DELETE FROM network_leases WHERE network_id = ? AND tap = ? AND machine_id = ?",
        (lease.network_id, lease.slot.tap, lease.machine_id),
    )
