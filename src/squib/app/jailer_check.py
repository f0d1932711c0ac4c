"""What there is on this host to jail a Firecracker with: for `squib doctor` and `squib host check`, never for a start."""

from __future__ import annotations

from squib.host import cgroups
from squib.model.findings import JailerFound
from squib.vmm.firecracker import binaries

__all__ = ["look"]


def look() -> JailerFound:
    """Firecracker, the jailer beside it, and the cgroups that this host has."""
    found = binaries.find()
    program = None if found is None else found.path
    beside = None if program is None else binaries.find_jailer(program)
    return JailerFound(program, beside, cgroups.find(), cgroups.CONTROLLERS)
