"""Where a machine can be reached, as URLs."""

from __future__ import annotations

from squib.host.ports import endpoint
from squib.model.machine import PortForward

__all__ = ["urls"]

_ANY = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - compared with, not bound


def urls(forwards: tuple[PortForward, ...]) -> list[str]:
    """`http://127.0.0.1:8080` for each published port; an address that means all is shown as loopback, which works."""
    found = []
    for forward in forwards:
        address = _ANY.get(str(forward.host_address))
        where = f"{address}:{forward.host_port}" if address else endpoint(forward.host_address, forward.host_port)
        found.append(f"http://{where}")
    return found
