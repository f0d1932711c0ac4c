"""The tables, as the steps that lead to them: a new file takes all steps, an older one those that it lacks.

A step that was released is never changed; a new version is a new step. All steps are one transaction (SQLite's DDL is
transactional, and so is user_version), so a crash in the middle leaves the file as it was. Columns are only added, with a
default: a squib that still runs with the older version goes on writing rows that stay right.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from squib.errors import StorageError

__all__ = ["MIGRATIONS", "SCHEMA_VERSION", "migrate", "outdated"]

_V1 = (
    """
    CREATE TABLE machines (
        id            TEXT PRIMARY KEY,
        name          TEXT NOT NULL UNIQUE,
        state         TEXT NOT NULL,
        created_ms    INTEGER NOT NULL,
        boot_id       TEXT NOT NULL,
        owner_pid     INTEGER,
        owner_start   INTEGER,
        pid           INTEGER,
        pid_start     INTEGER,
        vmm           TEXT NOT NULL,
        accel         TEXT NOT NULL,
        appliance     TEXT NOT NULL,
        image_digest  TEXT NOT NULL,
        mem_size_mib  INTEGER NOT NULL,
        vcpu_count    INTEGER NOT NULL,
        exit_status   INTEGER,
        exit_reason   TEXT NOT NULL DEFAULT ''
    ) STRICT
    """,
    """
    CREATE TABLE port_leases (
        machine_id    TEXT NOT NULL REFERENCES machines (id) ON DELETE CASCADE,
        host_address  TEXT NOT NULL,
        host_port     INTEGER NOT NULL,
        guest_port    INTEGER NOT NULL,
        PRIMARY KEY (host_address, host_port)
    ) STRICT
    """,
)

# What a restart needs, and when and how a machine became ready and ended. A lease goes when its machine ends; a publication
# stays with the machine, so that it can have the same ports again.
_V2 = (
    "ALTER TABLE machines ADD COLUMN run_spec TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE machines ADD COLUMN artifact TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE machines ADD COLUMN manifest_digest TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE machines ADD COLUMN accel_reason TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE machines ADD COLUMN ready_ms INTEGER",
    "ALTER TABLE machines ADD COLUMN boot_ms INTEGER",
    "ALTER TABLE machines ADD COLUMN ended_ms INTEGER",
    "ALTER TABLE machines ADD COLUMN ended_by TEXT",
    "ALTER TABLE machines ADD COLUMN restarts INTEGER NOT NULL DEFAULT 0",
    """
    CREATE TABLE publications (
        machine_id    TEXT NOT NULL REFERENCES machines (id) ON DELETE CASCADE,
        host_address  TEXT NOT NULL,
        host_port     INTEGER NOT NULL,
        guest_port    INTEGER NOT NULL,
        PRIMARY KEY (machine_id, host_address, host_port)
    ) STRICT
    """,
    """
    INSERT INTO publications (machine_id, host_address, host_port, guest_port)
        SELECT machine_id, host_address, host_port, guest_port FROM port_leases
    """,
)

# Where a machine on the host's own network serves: ADDRESS:PORT, with spaces between.
_V3 = ("ALTER TABLE machines ADD COLUMN endpoints TEXT NOT NULL DEFAULT ''",)

# Networks on the host, of machines with a tap of their own. No reference to machines: a lease goes when its tap has gone.
_V4 = (
    """
    CREATE TABLE network_leases (
        network_id    TEXT NOT NULL,
        tap           TEXT NOT NULL,
        machine_id    TEXT NOT NULL,
        boot_id       TEXT NOT NULL,
        host          TEXT NOT NULL,
        guest         TEXT NOT NULL,
        guest_mac     TEXT NOT NULL,
        PRIMARY KEY (network_id, tap),
        UNIQUE (network_id, host)
    ) STRICT
    """,
)

# Users of jails. No reference to machines, as above.
_V5 = (
    """
    CREATE TABLE jail_leases (
        uid           INTEGER PRIMARY KEY,
        machine_id    TEXT NOT NULL UNIQUE
    ) STRICT
    """,
)

MIGRATIONS = (_V1, _V2, _V3, _V4, _V5)
"""The statements that lead from version n (0 is an empty file) to n + 1."""

SCHEMA_VERSION = len(MIGRATIONS)


def outdated(connection: sqlite3.Connection) -> bool:
    """Whether the file is of another version, so that `migrate` has something to do or to say."""
    return _version(connection) != SCHEMA_VERSION


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Brings the file to SCHEMA_VERSION; to be called in a transaction. Raises StorageError where a newer squib wrote it."""
    version = _version(connection)
    if version > SCHEMA_VERSION:
        raise StorageError(
            f"{path} was written by a newer squib (its schema is {version}, this squib knows {SCHEMA_VERSION})",
            hint="use the newer squib",
        )
    for statements in MIGRATIONS[version:]:
        for statement in statements:
            connection.execute(statement)
    if version < SCHEMA_VERSION:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
