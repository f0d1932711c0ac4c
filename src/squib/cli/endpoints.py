"""Where a machine can be reached, as URLs."""

from __future__ import annotations

from squib.host.ports import endpoint
from squib.model.machine import PortForward
from squib.store import Machine

__all__ = ["forwarded", "urls"]

_ANY = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - compared with, not bound


def urls(machine: Machine) -> list[str]:
    """`http://127.0.0.1:8080` for each published port, `http://172.17.100.2:80` for each on the guest's own address."""
    own = () if machine.over else machine.endpoints
    return [*map(forwarded, machine.forwards), *(f"http://{endpoint(address, port)}" for address, port in own)]


def forwarded(forward: PortForward) -> str:
    """The URL of a published port; an address that means all is shown as loopback, which works."""
    address = _ANY.get(str(forward.host_address))
    where = f"{address}:{forward.host_port}" if address else endpoint(forward.host_address, forward.host_port)
    return f"http://{where}"
