"""Users of jails as leases: no two machines have the same. To be called in a transaction, so that the answer holds.

A lease outlives its machine's record: it goes when its jail has gone, whatever crash came between.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

__all__ = ["jail_leases", "lease_jail", "release_jail"]


def lease_jail(connection: sqlite3.Connection, machine_id: str, choose: Callable[[frozenset[int]], int]) -> int:
    """The uid that the machine has already, else what `choose` takes, being told which are leased. Raises what it raises."""
    leases = jail_leases(connection)
    if machine_id in leases:
        return leases[machine_id]
    uid = choose(frozenset(leases.values()))
    connection.execute("INSERT INTO jail_leases (uid, machine_id) VALUES (?, ?)", (uid, machine_id))
    return uid


def jail_leases(connection: sqlite3.Connection) -> dict[str, int]:
    """The uid of each machine that has one, by the machine's id."""
    rows = connection.execute("SELECT machine_id, uid FROM jail_leases ORDER BY uid").fetchall()
    return {row["machine_id"]: row["uid"] for row in rows}


def release_jail(connection: sqlite3.Connection, machine_id: str) -> None:
    """Its user is free. Unknown is fine."""
    connection.execute("DELETE FROM jail_leases WHERE machine_id = ?", (machine_id,))
