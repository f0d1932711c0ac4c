"""The machines of this user, and the life of each: reserved, started, ready, detached, stopping, ended, revived, removed."""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from squib.errors import MissingError, TakenError
from squib.host.files import state_home
from squib.host.process import ProcessIdentity, myself
from squib.model.host_network import Slot
from squib.model.machine import EndedBy, VmState
from squib.model.near import did_you_mean
from squib.model.run import Publish
from squib.store import database
from squib.store import jail_leases as jails
from squib.store import network_leases as networks
from squib.store.leases import check_free, free_name, lease_port
from squib.store.records import COLUMNS, Machine, Reservation, endpoints_text, machine_of

__all__ = ["Store"]

_Rows = list[sqlite3.Row]
_TABLES = ("port_leases", "publications")
_PORTS = "SELECT machine_id, host_address, host_port, guest_port FROM"
_ORDER = "ORDER BY guest_port, host_port"
_NAMED = 5
"""So many machines are named to whoever asked for one that is not there."""


class Store:
    """The open database; a context manager. Each method is one transaction; those that only read keep no one from changing it.

    `folder` and `busy_s` are for tests.
    """

    def __init__(self, folder: Path | None = None, *, busy_s: float | None = None) -> None:
        self.folder = state_home() if folder is None else folder
        self.path = self.folder / "state.db"
        self._database = database.Database(self.path, busy_s=database.BUSY_S if busy_s is None else busy_s)
        self._connection = self._database.connection

    @property
    def machines_dir(self) -> Path:
        """Holds each machine's run folder, named by its id."""
        return self.folder / "machines"

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Several calls as one change: nobody changes the store while it lasts, and an exception undoes it."""
        with self._database.transaction():
            yield

    def reserve(self, wish: Reservation) -> Machine:
        """A new machine in state STARTING, owned by this process, with its name and its ports.

        Host port 0 becomes the guest's own (8080 for its 80) where that is free, else any free port. Raises TakenError (a name
        or a port), PermissionDeniedError (a privileged port), UsageError (no address of this host).
        """
        machine_id, owner = secrets.token_hex(6), myself()
        with self.transaction():
            name = free_name(self._connection, wish.name, wish.base_name)
            self._connection.execute(
                "INSERT INTO machines (id, name, state, created_ms, boot_id, owner_pid, owner_start, vmm, accel, appliance,"
                " image_digest, mem_size_mib, vcpu_count, accel_reason, run_spec, artifact, manifest_digest, endpoints)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(machine_id, name, VmState.STARTING, _now_ms()),
                    *(owner.boot_id, owner.pid, owner.start_time, wish.vmm, wish.accel, wish.base_name),
                    *(wish.image_digest, wish.mem_size_mib, wish.vcpu_count, wish.accel_reason, wish.run_spec),
                    *(
                        "" if wish.artifact is None else str(wish.artifact),
                        wish.manifest_digest,
                        endpoints_text(wish.endpoints),
                    ),
                ),
            )
            for publish in wish.publish:
                lease_port(self._connection, machine_id, publish)
            return self._by("id", machine_id)

    def check_free(self, name: str | None, publish: tuple[Publish, ...]) -> None:
        """Raises what `reserve` would raise now for that name and those host ports; nothing is reserved."""
        with self.transaction():
            check_free(self._connection, name, publish)

    def revive(self, machine_id: str, wish: Reservation) -> Machine:
        """A machine that has ended, in state STARTING again, owned by this process, with the ports of `wish`; its name stays.

        Raises as `reserve` does, MissingError where it was removed, TakenError where it does not stand still.
        """
        owner = myself()
        with self.transaction():
            machine = self._by("id", machine_id)
            if not machine.over:
                raise TakenError(
                    f"the machine {machine.name} is {machine.state}", hint="somebody else is starting it: squib ps"
                )
            self._connection.execute("DELETE FROM publications WHERE machine_id = ?", (machine_id,))
            self._connection.execute(
                "UPDATE machines SET state = ?, boot_id = ?, owner_pid = ?, owner_start = ?, pid = NULL, pid_start = NULL,"
                " vmm = ?, accel = ?, accel_reason = ?, ready_ms = NULL, boot_ms = NULL, ended_ms = NULL, ended_by = NULL,"
                " exit_status = NULL, exit_reason = '', restarts = restarts + 1 WHERE id = ?",
                (
                    *(VmState.STARTING, owner.boot_id, owner.pid, owner.start_time),
                    *(wish.vmm, wish.accel, wish.accel_reason, machine_id),
                ),
            )
            for publish in wish.publish:
                lease_port(self._connection, machine_id, publish)
            return self._by("id", machine_id)

    def lease_anew(self, machine_id: str, publish: tuple[Publish, ...]) -> Machine:
        """Ports given once more to a machine of this process. Raises as `reserve` does, and MissingError as `started` does."""
        with self.transaction():
            self._update_own(machine_id, "state = state")
            for table in ("port_leases", "publications"):
                self._connection.execute(f"DELETE FROM {table} WHERE machine_id = ?", (machine_id,))  # noqa: S608 - a literal
            for one in publish:
                lease_port(self._connection, machine_id, one)
            return self._by("id", machine_id)

    def started(self, machine_id: str, process: ProcessIdentity) -> None:
        """Its VMM runs. Raises MissingError, as the next two do, where this process does not own it any more."""
        self._update_own(machine_id, "pid = ?, pid_start = ?", process.pid, process.start_time)

    def ready(self, machine_id: str, boot_ms: int | None = None) -> None:
        """The guest serves, `boot_ms` after its launch. It is RUNNING then, unless it was asked to stop meanwhile."""
        self._update_own(
            machine_id,
            "state = CASE state WHEN 'starting' THEN 'running' ELSE state END, ready_ms = ?, boot_ms = ?",
            *(_now_ms(), boot_ms),
        )

    def detached(self, machine_id: str) -> None:
        """It runs on without this process."""
        self._update_own(machine_id, "owner_pid = NULL, owner_start = NULL")

    def stopping(self, machine_id: str, process: ProcessIdentity | None = None) -> None:
        """It was asked to stop. Nothing changes where it has ended, is gone, or where `process` is not its VMM any more."""
        with self.transaction():
            machine = self._find("id", machine_id)
            if machine is not None and not machine.over and process in {None, machine.process}:
                self._connection.execute("UPDATE machines SET state = ? WHERE id = ?", (VmState.STOPPING, machine_id))

    def exited(
        self,
        machine_id: str,
        status: int | None,
        reason: str,
        by: EndedBy | None = None,
        *,
        process: ProcessIdentity | None = None,
        overwrite: bool = True,
    ) -> None:
        """It ended; its ports are free again. FAILED where the guest had no last word or its status is not 0.

        Where `process` is given, only if that is still its VMM: it may have been started again meanwhile. Without
        `overwrite`, only if nobody said so before. A machine that is gone is left so.
        """
        state = VmState.EXITED if status == 0 else VmState.FAILED
        with self.transaction():
            machine = self._find("id", machine_id)
            if machine is None or (process is not None and machine.process != process) or (machine.over and not overwrite):
                return
            self._connection.execute("DELETE FROM port_leases WHERE machine_id = ?", (machine_id,))
            self._connection.execute(
                "UPDATE machines SET state = ?, exit_status = ?, exit_reason = ?, ended_by = ?, ended_ms = ?,"
                " owner_pid = NULL, owner_start = NULL WHERE id = ?",
                (state, status, reason, by, machine.ended_ms or _now_ms(), machine_id),
            )

    def remove(self, machine_id: str) -> None:
        """Forgets it; its name and ports are free. Unknown is fine: somebody was first."""
        with self.transaction():
            self._connection.execute("DELETE FROM machines WHERE id = ?", (machine_id,))

    def get(self, name: str) -> Machine:
        """The machine with that name. Raises MissingError."""
        with self._database.reading():
            return self._by("name", name)

    def find(self, machine_id: str) -> Machine | None:
        """The machine with that id, or None where it was removed."""
        with self._database.reading():
            return self._find("id", machine_id)

    def list(self) -> tuple[Machine, ...]:
        """All machines, in the order they were made in, whatever the clock said then."""
        with self._database.reading():
            rows = self._connection.execute(f"SELECT {COLUMNS} FROM machines ORDER BY rowid").fetchall()  # noqa: S608 - a literal
            leases, published = map(self._by_machine, _TABLES)
            return tuple(self._of(row, leases.get(row["id"], ()), published.get(row["id"], ())) for row in rows)

    def lease_network(
        self, machine_id: str, network_id: str, choose: Callable[[frozenset[str]], Slot]
    ) -> networks.NetworkLease:
        """A network of the host's for that machine: what `choose` takes, being told which are leased."""
        with self.transaction():
            return networks.lease_network(self._connection, machine_id, network_id, choose)

    def network_leases(self) -> tuple[networks.NetworkLease, ...]:
        """All networks that are leased, also those of machines that have gone since."""
        with self._database.reading():
            return networks.network_leases(self._connection)

    def release_network(self, lease: networks.NetworkLease) -> None:
        """Its tap and its rules have gone. Unknown is fine: somebody was first."""
        with self.transaction():
            networks.release_network(self._connection, lease)

    def lease_jail(self, machine_id: str, choose: Callable[[frozenset[int]], int]) -> int:
        """A user for that machine's jail: what it has, else what `choose` takes, being told which are leased."""
        with self.transaction():
            return jails.lease_jail(self._connection, machine_id, choose)

    def jail_leases(self) -> dict[str, int]:
        """The users of all jails by the ids of their machines, also of machines that have gone since."""
        with self._database.reading():
            return jails.jail_leases(self._connection)

    def release_jail(self, machine_id: str) -> None:
        """Its jail has gone. Unknown is fine."""
        with self.transaction():
            jails.release_jail(self._connection, machine_id)

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _by(self, column: str, value: str) -> Machine:
        machine = self._find(column, value)
        if machine is None:
            names = self._names()
            meant = did_you_mean(value, names)
            raise MissingError(
                f"there is no machine {value}{meant}", hint="squib ps lists all" if meant else _which_there_are(names)
            )
        return machine

    def _names(self) -> tuple[str, ...]:
        rows = self._connection.execute("SELECT name FROM machines ORDER BY rowid").fetchall()
        return tuple(str(row["name"]) for row in rows)

    def _find(self, column: str, value: str) -> Machine | None:
        # `column` is a literal of this module.
        row = self._connection.execute(f"SELECT {COLUMNS} FROM machines WHERE {column} = ?", (value,)).fetchone()  # noqa: S608
        return None if row is None else self._machine(row)

    def _machine(self, row: sqlite3.Row) -> Machine:
        leases, published = (
            self._connection.execute(f"{_PORTS} {table} WHERE machine_id = ? {_ORDER}", (row["id"],)).fetchall()
            for table in _TABLES
        )
        return self._of(row, leases, published)

    def _of(self, row: sqlite3.Row, leases: Sequence[sqlite3.Row], published: Sequence[sqlite3.Row]) -> Machine:
        try:
            return machine_of(row, leases, published, self.machines_dir)
        except ValueError as error:
            raise database.damaged(self.path, f"what it says of the machine {row['name']!a} is wrong ({error})") from error

    def _by_machine(self, table: str) -> dict[object, _Rows]:
        """The rows of one of _TABLES."""
        found: dict[object, _Rows] = {}
        for row in self._connection.execute(f"{_PORTS} {table} {_ORDER}"):
            found.setdefault(row["machine_id"], []).append(row)
        return found

    def _update_own(self, machine_id: str, assignments: str, *values: object) -> None:
        owner = myself()
        with self.transaction():
            done = self._connection.execute(
                # `assignments` is a literal of this module.
                f"UPDATE machines SET {assignments} WHERE id = ? AND owner_pid = ? AND owner_start = ?",  # noqa: S608
                (*values, machine_id, owner.pid, owner.start_time),
            )
            if done.rowcount != 1:
                raise MissingError("the machine was ended or removed meanwhile by another command", hint="squib ps")


def _which_there_are(names: tuple[str, ...]) -> str:
    if not names:
        return "there are no machines now; squib run APPLIANCE starts one"
    some = ", ".join(names[:_NAMED])
    return f"there {'is' if len(names) == 1 else 'are'} {some}{' …' if len(names) > _NAMED else ''}: squib ps"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
