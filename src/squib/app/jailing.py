"""Jails of root's Firecrackers: a user and limits leased for each, and taken back when the machine is over, whoever notices it.

The order is what makes a crash harmless: lease, folder, cgroup; and back: processes, cgroup, folder, lease.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace

from squib.errors import HostError, StorageError, UsageError
from squib.host import cgroups
from squib.host.process import user_ids
from squib.model.jail import PARENT_CGROUP, Jail, free_uid, limits
from squib.model.machine import MachineConfig, VmmKind
from squib.model.run import RunSpec
from squib.store import Machine, Store
from squib.vmm.run_dir import clear_jail, end_in_run_dir

__all__ = ["Jails", "wanted"]


def wanted(spec: RunSpec, vmm: VmmKind) -> bool:
    """Whether this run is to be jailed. Raises UsageError, UnavailableError where it is and cannot be."""
    if vmm is not VmmKind.FIRECRACKER:
        if spec.no_jailer:
            raise UsageError("--no-jailer goes with Firecracker", hint="leave it out; or add --vmm firecracker")
        return False
    if spec.no_jailer or os.geteuid() != 0:
        return False
    cgroups.check("squib run --no-jailer")
    return True


@dataclass(frozen=True, slots=True)
class Jails:
    """The jails of the machines in `store`."""

    store: Store

    def assign(self, machine: Machine, config: MachineConfig) -> MachineConfig:
        """`config` with a jail of the machine's own. Raises TakenError."""
        uid = self.store.lease_jail(machine.id, lambda leased: free_uid(machine.id, leased, user_ids()))
        bounds = limits(mem_size_mib=config.mem_size_mib, vcpu_count=config.vcpu_count)
        return replace(config, jail=Jail(machine.id, uid, uid, bounds))

    def tidy(self) -> None:
        """Takes back the jails of machines that are over or gone.

        One that stays has its lease still, so the next command tries again, and nobody gets its user; no other machine is kept
        from anything by it.
        """
        for machine_id in filter(self._is_over, self.store.jail_leases()):  # those that run are nothing to change the store for
            with contextlib.suppress(HostError, StorageError), self.store.transaction():  # nobody starts it again meanwhile
                if self._is_over(machine_id):
                    self._take_back(machine_id)

    def _is_over(self, machine_id: str) -> bool:
        machine = self.store.find(machine_id)
        return machine is None or machine.over

    def _take_back(self, machine_id: str) -> None:
        run_dir = self.store.machines_dir / machine_id
        end_in_run_dir(run_dir)
        cgroups.remove(PARENT_CGROUP, machine_id)
        clear_jail(run_dir)
        self.store.release_jail(machine_id)
        if not self.store.jail_leases():
            cgroups.remove_parent(PARENT_CGROUP)
