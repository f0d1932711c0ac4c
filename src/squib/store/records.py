"""The store's values: what is known of a machine before it starts, and one row."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from pathlib import Path

from squib.host.process import ProcessIdentity
from squib.model.machine import Accel, EndedBy, PortForward, VmState
from squib.model.run import Publish

__all__ = ["Machine", "Reservation", "endpoints_text", "machine_of"]


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


def machine_of(
    row: sqlite3.Row, leases: Sequence[sqlite3.Row], published: Sequence[sqlite3.Row], machines_dir: Path
) -> Machine:
    """The machine in `row`, with its rows of the other two tables."""
    return Machine(
        id=row["id"],
        name=row["name"],
        state=VmState(row["state"]),
        created_ms=row["created_ms"],
        ready_ms=row["ready_ms"],
        boot_ms=row["boot_ms"],
        ended_ms=row["ended_ms"],
        boot_id=row["boot_id"],
        owner=_identity(row["owner_pid"], row["owner_start"], row["boot_id"]),
        process=_identity(row["pid"], row["pid_start"], row["boot_id"]),
        run_dir=machines_dir / row["id"],
        vmm=row["vmm"],
        accel=Accel(row["accel"]),
        accel_reason=row["accel_reason"],
        appliance=row["appliance"],
        run_spec=row["run_spec"],
        artifact=Path(row["artifact"]) if row["artifact"] else None,
        manifest_digest=row["manifest_digest"],
        image_digest=row["image_digest"],
        mem_size_mib=row["mem_size_mib"],
        vcpu_count=row["vcpu_count"],
        forwards=_forwards(leases),
        published=_forwards(published),
        exit_status=row["exit_status"],
        exit_reason=row["exit_reason"],
        ended_by=None if row["ended_by"] is None else EndedBy(row["ended_by"]),
        restarts=row["restarts"],
        endpoints=_endpoints(row["endpoints"]),
    )


def endpoints_text(endpoints: tuple[tuple[IPv4Address, int], ...]) -> str:
    """As the table has them."""
    return " ".join(f"{address}:{port}" for address, port in endpoints)


def _endpoints(text: str) -> tuple[tuple[IPv4Address, int], ...]:
    return tuple((IPv4Address(one.partition(":")[0]), int(one.partition(":")[2])) for one in text.split())


def _forwards(rows: Sequence[sqlite3.Row]) -> tuple[PortForward, ...]:
    return tuple(PortForward(ip_address(row["host_address"]), row["host_port"], row["guest_port"]) for row in rows)


def _identity(pid: int | None, start_time: int | None, boot: str) -> ProcessIdentity | None:
    return None if pid is None or start_time is None else ProcessIdentity(pid, start_time, boot)
