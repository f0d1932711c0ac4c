"""What squib runs here, for this user: one SQLite file, one transaction a change.

Names and published ports are leases: whoever commits first has them, so two runs at the same moment never collide. A rollback
journal, not WAL: changes are few and tiny, and WAL needs shared memory, which home folders on a network do not give. Times
and processes are facts of one boot of the host, so each machine carries the boot's id.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Self

from squib.errors import HostError, MissingError, PermissionDeniedError, SquibError, StorageError, TakenError
from squib.host import ports
from squib.host.files import state_home, storage_errors
from squib.host.process import ProcessIdentity, myself
from squib.model.machine import Accel, PortForward, VmState
from squib.model.run import Publish

__all__ = ["SCHEMA_VERSION", "Machine", "Reservation", "Store"]

SCHEMA_VERSION = 1

_BUSY_S = 15.0
_HTTP_PORT, _HTTP_HOST_PORT = 80, 8080
_ANY = {"0.0.0.0", "::"}  # noqa: S104 - compared with, not bound

_SCHEMA = """
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
) STRICT;
CREATE TABLE port_leases (
    machine_id    TEXT NOT NULL REFERENCES machines (id) ON DELETE CASCADE,
    host_address  TEXT NOT NULL,
    host_port     INTEGER NOT NULL,
    guest_port    INTEGER NOT NULL,
    PRIMARY KEY (host_address, host_port)
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Reservation:
    """What is known of a machine before it starts. `name` None: `base_name`, or that with -2, -3 … where it is taken."""

    name: str | None
    base_name: str
    publish: tuple[Publish, ...]
    vmm: str
    accel: Accel
    image_digest: str
    mem_size_mib: int
    vcpu_count: int


@dataclass(frozen=True, slots=True)
class Machine:
    """One row. `owner` is the squib that ends it with itself, None once detached; `process` is the VMM's, once started.

    `created_ms` is Unix time; `forwards` is empty once it ended; `exit_status` and `exit_reason` are the guest's.
    """

    id: str
    name: str
    state: VmState
    created_ms: int
    boot_id: str
    owner: ProcessIdentity | None
    process: ProcessIdentity | None
    run_dir: Path
    vmm: str
    accel: Accel
    appliance: str
    image_digest: str
    mem_size_mib: int
    vcpu_count: int
    forwards: tuple[PortForward, ...]
    exit_status: int | None
    exit_reason: str

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state in {VmState.EXITED, VmState.FAILED}


class Store:
    """The open database; a context manager. Each method is one transaction. `folder` is for tests."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = state_home() if folder is None else folder
        self.path = self.folder / "state.db"
        with storage_errors(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.touch(mode=0o600)
        with self._explained():
            self._connection = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None)
        try:
            with self._explained():
                self._connection.row_factory = sqlite3.Row
                self._connection.execute("PRAGMA foreign_keys = ON")
                self._prepare()
        except BaseException:
            self._connection.close()
            raise

    @property
    def machines_dir(self) -> Path:
        """Holds each machine's run folder, named by its id."""
        return self.folder / "machines"

    def reserve(self, wish: Reservation) -> Machine:
        """A new machine in state STARTING, owned by this process, with its name and its ports.

        Host port 0 becomes 8080 for the guest's 80 where that is free, else any free port. Raises TakenError (a name or a
        port), PermissionDeniedError (a privileged port), UsageError (no address of this host).
        """
        machine_id, owner = secrets.token_hex(6), myself()
        with self._transaction():
            name = self._free_name(wish)
            self._connection.execute(
                "INSERT INTO machines (id, name, state, created_ms, boot_id, owner_pid, owner_start, vmm, accel, appliance,"
                " image_digest, mem_size_mib, vcpu_count) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(machine_id, name, VmState.STARTING, time.time_ns() // 1_000_000),
                    *(owner.boot_id, owner.pid, owner.start_time, wish.vmm, wish.accel, wish.base_name),
                    *(wish.image_digest, wish.mem_size_mib, wish.vcpu_count),
                ),
            )
            for publish in wish.publish:
                self._lease(machine_id, publish)
            return self._by("id", machine_id)

    def started(self, machine_id: str, process: ProcessIdentity) -> None:
        """Its VMM runs."""
        self._update(machine_id, "pid = ?, pid_start = ?", process.pid, process.start_time)

    def ready(self, machine_id: str) -> None:
        """The guest serves."""
        self._update(machine_id, "state = ?", VmState.RUNNING)

    def detached(self, machine_id: str) -> None:
        """It runs on without this process."""
        self._update(machine_id, "owner_pid = NULL, owner_start = NULL")

    def stopping(self, machine_id: str) -> None:
        """It was asked to stop."""
        self._update(machine_id, "state = ?", VmState.STOPPING)

    def exited(self, machine_id: str, status: int | None, reason: str) -> None:
        """It ended; its ports are free again. FAILED where the guest had no last word or its status is not 0."""
        state = VmState.EXITED if status == 0 else VmState.FAILED
        with self._transaction():
            self._connection.execute("DELETE FROM port_leases WHERE machine_id = ?", (machine_id,))
            self._connection.execute(
                "UPDATE machines SET state = ?, exit_status = ?, exit_reason = ? WHERE id = ?",
                (state, status, reason, machine_id),
            )

    def remove(self, machine_id: str) -> None:
        """Forgets it; its name and ports are free. Unknown is fine: somebody was first."""
        with self._transaction():
            self._connection.execute("DELETE FROM machines WHERE id = ?", (machine_id,))

    def get(self, name: str) -> Machine:
        """The machine with that name. Raises MissingError."""
        with self._transaction():
            return self._by("name", name)

    def list(self) -> tuple[Machine, ...]:
        """All machines, oldest first."""
        with self._transaction():
            rows = self._connection.execute("SELECT * FROM machines ORDER BY created_ms, name").fetchall()
            return tuple(self._machine(row) for row in rows)

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _prepare(self) -> None:
        """Makes the tables in a new file. Two who do it at once: the second finds them made."""
        with self._transaction():
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if version == SCHEMA_VERSION:
                return
            if version:
                raise StorageError(
                    f"{self.path} was written by a newer squib (its schema is {version}, this squib knows {SCHEMA_VERSION})",
                    hint="use the newer squib",
                )
            for statement in _SCHEMA.strip().split(";")[:-1]:
                self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _free_name(self, wish: Reservation) -> str:
        if wish.name is not None:
            row = self._connection.execute("SELECT state, appliance FROM machines WHERE name = ?", (wish.name,)).fetchone()
            if row is None:
                return wish.name
            raise TakenError(
                f"there is a machine {wish.name} already ({row['appliance']}, {row['state']})",
                hint=f"squib rm {wish.name}, or choose another --name",
            )
        taken = {row["name"] for row in self._connection.execute("SELECT name FROM machines")}
        candidates = (wish.base_name if number == 1 else f"{wish.base_name}-{number}" for number in range(1, len(taken) + 2))
        return next(name for name in candidates if name not in taken)

    def _lease(self, machine_id: str, publish: Publish) -> None:
        address = str(publish.host_address)
        host_port = publish.host_port or self._any_port(publish)
        if (holder := self._holder(address, host_port)) is not None:
            raise TakenError(
                f"{ports.endpoint(publish.host_address, host_port)} is in use by the machine {holder}",
                hint=f"squib stop {holder}, or publish another port: --publish PORT:{publish.guest_port}",
            )
        ports.check(publish.host_address, host_port)
        self._connection.execute(
            "INSERT INTO port_leases (machine_id, host_address, host_port, guest_port) VALUES (?, ?, ?, ?)",
            (machine_id, address, host_port, publish.guest_port),
        )

    def _any_port(self, publish: Publish) -> int:
        address = str(publish.host_address)
        wanted = [_HTTP_HOST_PORT] if publish.guest_port == _HTTP_PORT else []
        for _ in range(100):
            port = ports.choose(publish.host_address, [port for port in wanted if self._holder(address, port) is None])
            if self._holder(address, port) is None:
                return port
        raise TakenError(f"no free port was found on {address}", hint="name one: --publish PORT:GUEST_PORT")

    def _holder(self, address: str, port: int) -> str | None:
        """The name of the machine that listens on `port` of `address`; an address that means all collides with every one."""
        rows = self._connection.execute(
            "SELECT name, host_address FROM port_leases JOIN machines ON id = machine_id WHERE host_port = ?", (port,)
        )
        return next(
            (row["name"] for row in rows if row["host_address"] == address or _ANY & {address, row["host_address"]}), None
        )

    def _by(self, column: str, value: str) -> Machine:
        # `column` is a literal of this module.
        row = self._connection.execute(f"SELECT * FROM machines WHERE {column} = ?", (value,)).fetchone()  # noqa: S608
        if row is None:
            raise MissingError(f"there is no machine {value}", hint="squib ps lists them")
        return self._machine(row)

    def _machine(self, row: sqlite3.Row) -> Machine:
        leases: Sequence[sqlite3.Row] = self._connection.execute(
            "SELECT * FROM port_leases WHERE machine_id = ? ORDER BY guest_port, host_port", (row["id"],)
        ).fetchall()
        return Machine(
            id=row["id"],
            name=row["name"],
            state=VmState(row["state"]),
            created_ms=row["created_ms"],
            boot_id=row["boot_id"],
            owner=_identity(row["owner_pid"], row["owner_start"], row["boot_id"]),
            process=_identity(row["pid"], row["pid_start"], row["boot_id"]),
            run_dir=self.machines_dir / row["id"],
            vmm=row["vmm"],
            accel=Accel(row["accel"]),
            appliance=row["appliance"],
            image_digest=row["image_digest"],
            mem_size_mib=row["mem_size_mib"],
            vcpu_count=row["vcpu_count"],
            forwards=tuple(PortForward(ip_address(r["host_address"]), r["host_port"], r["guest_port"]) for r in leases),
            exit_status=row["exit_status"],
            exit_reason=row["exit_reason"],
        )

    def _update(self, machine_id: str, assignments: str, *values: object) -> None:
        with self._transaction():
            # `assignments` is a literal of this module.
            done = self._connection.execute(f"UPDATE machines SET {assignments} WHERE id = ?", (*values, machine_id))  # noqa: S608
            if done.rowcount != 1:
                raise MissingError("the machine is not in the state file any more: it was removed meanwhile", hint="squib ps")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """IMMEDIATE: the lock is taken before anything is read, so what was read still holds when it is written."""
        with self._explained():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _explain(self.path, error) from error


def _identity(pid: int | None, start_time: int | None, boot: str) -> ProcessIdentity | None:
    return None if pid is None or start_time is None else ProcessIdentity(pid, start_time, boot)


def _explain(path: Path, error: sqlite3.Error) -> SquibError:
    code = getattr(error, "sqlite_errorcode", -1) & 0xFF  # the primary result code (sqlite.org/rescode.html)
    match code:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StorageError(
                f"{path} is locked by another squib for over {_BUSY_S:g} s", hint=f"see who has it: fuser -v {path}"
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return StorageError(f"{path} is damaged", hint=f"move it away: mv {path} {path}.damaged")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return PermissionDeniedError(f"this user may not write {path}", hint=f"see who may: ls -ld {path.parent} {path}")
        case sqlite3.SQLITE_CANTOPEN:
            return PermissionDeniedError(f"{path} cannot be opened", hint=f"see who may: ls -ld {path.parent} {path}")
        case sqlite3.SQLITE_FULL:
            return StorageError(f"no space left to write {path}", hint=f"free some space: df -h {path.parent}")
        case sqlite3.SQLITE_IOERR:
            return StorageError(f"{path}: the device reports an i/o error")
        case _:
            return HostError(f"{path}: {error}", hint=f"if it stays so, move it away: mv {path} {path}.damaged")
