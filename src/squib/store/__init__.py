"""What squib runs here, for this user: one SQLite file, one transaction a change.

Names and published ports are leases: whoever commits first has them, so two runs at the same moment never collide. A rollback
journal, not WAL: changes are few and tiny, and WAL needs shared memory, which home folders on a network do not give. Times
and processes are facts of one boot of the host, so each machine carries the boot's id.
"""

from __future__ import annotations

from squib.store.machines import Store
from squib.store.network_leases import NetworkLease
from squib.store.records import Machine, Reservation
from squib.store.schema import SCHEMA_VERSION

__all__ = ["SCHEMA_VERSION", "Machine", "NetworkLease", "Reservation", "Store"]
