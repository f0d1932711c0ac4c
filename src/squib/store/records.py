"""The store's values: what is known of a machine before it starts, and one row.

A row is checked as strictly as what comes from elsewhere: whoever could write the file must not lead a command to a folder
that is no machine's, or to a traceback.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Annotated

import msgspec

from squib.host.process import ProcessIdentity
from squib.model.machine import MACHINE_NAME, Accel, EndedBy, PortForward, VmState
from squib.model.run import Publish

__all__ = ["COLUMNS", "Machine", "Reservation", "endpoints_text", "machine_of"]


@dataclass(frozen=True, slots=True)
class Reservation:
    """What is known of a machine before it starts. `name` None: `base_name`, or that with -2, -3 … where it is taken.

    `run_spec` is what was asked for, as `wire.run_spec` writes it; `artifact` the folder it boots from, by `manifest_digest`;
    `endpoints` where it serves on the host's own network.
    """

    name: str | None
    base_name: str
    publish: tuple[Publish, ...]
    vmm: str
    accel: Accel
    image_digest: str
    mem_size_mib: int
    vcpu_count: int
    accel_reason: str = ""
    run_spec: str = ""
    artifact: Path | None = None
    manifest_digest: str = ""
    endpoints: tuple[tuple[IPv4Address, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Machine:
    """One row. `owner` is the squib that ends it with itself, None once detached; `process` is the VMM's, once started.

    `created_ms`, `ready_ms`, `ended_ms` are Unix time, `boot_ms` is a duration, launch to readiness; `forwards` is empty once
    it ended, `published` what it had then too; `exit_status` and `exit_reason` are the guest's. `restarts` counts starts
    after the first. `run_spec` and `artifact` are empty where the first version of squib started it.
    """

    id: str
    name: str
    state: VmState
    created_ms: int
    ready_ms: int | None
    boot_ms: int | None
    ended_ms: int | None
    boot_id: str
    owner: ProcessIdentity | None
    process: ProcessIdentity | None
    run_dir: Path
    vmm: str
    accel: Accel
    accel_reason: str
    appliance: str
    run_spec: str
    artifact: Path | None
    manifest_digest: str
    image_digest: str
    mem_size_mib: int
    vcpu_count: int
    forwards: tuple[PortForward, ...]
    published: tuple[PortForward, ...]
    exit_status: int | None
    exit_reason: str
    ended_by: EndedBy | None
    restarts: int
    endpoints: tuple[tuple[IPv4Address, int], ...]

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state.over


_Id = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z]{1,64}\Z")]  # names a folder
_Name = Annotated[str, msgspec.Meta(pattern=rf"^{MACHINE_NAME}\Z")]
_Path = Annotated[str, msgspec.Meta(pattern=r"^(/[^\x00]*)?\Z")]
_Pid = Annotated[int, msgspec.Meta(ge=1, le=1 << 22)]  # PID_MAX_LIMIT (linux/threads.h)
_Count = Annotated[int, msgspec.Meta(ge=0)]


class _Row(msgspec.Struct, frozen=True):
    id: _Id
    name: _Name
    state: VmState
    created_ms: int
    ready_ms: int | None
    boot_ms: int | None
    ended_ms: int | None
    boot_id: str
    owner_pid: _Pid | None
    owner_start: _Count | None
    pid: _Pid | None
    pid_start: _Count | None
    vmm: str
    accel: Accel
    accel_reason: str
    appliance: str
    run_spec: str
    artifact: _Path
    manifest_digest: str
    image_digest: str
    mem_size_mib: _Count
    vcpu_count: _Count
    exit_status: int | None
    exit_reason: str
    ended_by: EndedBy | None
    restarts: _Count
    endpoints: str


COLUMNS = ", ".join(_Row.__struct_fields__)
"""What of a row of `machines` is read."""


def machine_of(
    row: sqlite3.Row, leases: Sequence[sqlite3.Row], published: Sequence[sqlite3.Row], machines_dir: Path
) -> Machine:
    """The machine in `row`, with its rows of the other two tables. Raises ValueError where that is none that squib wrote."""
    told = msgspec.convert(dict(row), _Row)
    return Machine(
        id=told.id,
        name=told.name,
        state=told.state,
        created_ms=told.created_ms,
        ready_ms=told.ready_ms,
        boot_ms=told.boot_ms,
        ended_ms=told.ended_ms,
        boot_id=told.boot_id,
        owner=_identity(told.owner_pid, told.owner_start, told.boot_id),
        process=_identity(told.pid, told.pid_start, told.boot_id),
        run_dir=machines_dir / told.id,
        vmm=told.vmm,
        accel=told.accel,
        accel_reason=told.accel_reason,
        appliance=told.appliance,
        run_spec=told.run_spec,
        artifact=Path(told.artifact) if told.artifact else None,
        manifest_digest=told.manifest_digest,
        image_digest=told.image_digest,
        mem_size_mib=told.mem_size_mib,
        vcpu_count=told.vcpu_count,
        forwards=_forwards(leases),
        published=_forwards(published),
        exit_status=told.exit_status,
        exit_reason=told.exit_reason,
        ended_by=told.ended_by,
        restarts=told.restarts,
        endpoints=_endpoints(told.endpoints),
    )


def endpoints_text(endpoints: tuple[tuple[IPv4Address, int], ...]) -> str:
    """As the table has them."""
    return " ".join(f"{address}:{port}" for address, port in endpoints)


def _endpoints(text: str) -> tuple[tuple[IPv4Address, int], ...]:
    pairs = (one.partition(":") for one in text.split())
    return tuple((IPv4Address(address), _port(int(port))) for address, _, port in pairs)


def _forwards(rows: Sequence[sqlite3.Row]) -> tuple[PortForward, ...]:
    return tuple(
        PortForward(ip_address(str(row["host_address"])), _port(row["host_port"]), _port(row["guest_port"])) for row in rows
    )


def _port(number: object) -> int:
    if not isinstance(number, int) or not 0 < number < 1 << 16:
        raise ValueError(f"{number!r} is no port")
    return number


def _identity(pid: int | None, start_time: int | None, boot: str) -> ProcessIdentity | None:
    return None if pid is None or start_time is None else ProcessIdentity(pid, start_time, boot)
