"""A jail: what a Firecracker that root starts is confined to, by Firecracker's jailer (its docs/jailer.md)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from squib.errors import TakenError

__all__ = ["FIRST_UID", "PARENT_CGROUP", "UIDS", "Jail", "free_uid", "limits"]

FIRST_UID, UIDS = 1_900_000_000, 65_536
"""The users of jails, each with a group of the same number: a range that nobody gives out (systemd, docs/UIDS-GIDS.md)."""

PARENT_CGROUP = "squib"
"""Below the root of cgroup v2; it has a cgroup for each jail."""

_OWN_MIB = 32
"""What Firecracker takes for itself, its threads and what the kernel keeps for them: about 5 MiB, and some for a burst."""
_OWN_SHARE = 32
"""And this part of the guest's memory, for the tables that map it."""
_OWN_THREADS = 8
"""Firecracker has two threads and one for each vCPU."""
_PERIOD_US = 100_000


@dataclass(frozen=True, slots=True)
class Jail:
    """`id` names the jail and its cgroup; `uid` and `gid` are nobody else's.

    Its cgroup is below `parent_cgroup`; `limits` are files of cgroup v2 and what is written to them
    (Documentation/admin-guide/cgroup-v2.rst).
    """

    id: str
    uid: int
    gid: int
    limits: tuple[tuple[str, str], ...] = ()
    parent_cgroup: str = PARENT_CGROUP


def limits(*, mem_size_mib: int, vcpu_count: int) -> tuple[tuple[str, str], ...]:
    """What a machine of that size may take: its memory and what its VMM needs, a CPU for each vCPU, few processes."""
    memory_mib = mem_size_mib + mem_size_mib // _OWN_SHARE + _OWN_MIB
    return (
        ("memory.max", str(memory_mib << 20)),
        ("cpu.max", f"{vcpu_count * _PERIOD_US} {_PERIOD_US}"),
        ("pids.max", str(vcpu_count + _OWN_THREADS)),
    )


def free_uid(machine_id: str, leased: Collection[int], running: Collection[int]) -> int:
    """A user that no jail has and no process runs as. Raises TakenError.

    `machine_id` is in hex, and random: where to look first. So two state folders on one host hardly ever meet.
    """
    first = int(machine_id, 16)
    for number in range(UIDS):
        uid = FIRST_UID + (first + number) % UIDS
        if uid not in leased and uid not in running:
            return uid
    raise TakenError(f"all {UIDS:,} users for jails are in use", hint="stop machines: squib ps")
