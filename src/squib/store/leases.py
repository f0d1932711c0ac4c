"""Names and host ports as leases: who has one, which is free. To be called in a transaction, so that the answer holds."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from squib.errors import TakenError
from squib.host import ports
from squib.model.machine import VmState
from squib.model.run import Publish

__all__ = ["check_free", "free_name", "lease_port"]

_HTTP_PORT, _HTTP_HOST_PORT, _FIRST_UNPRIVILEGED = 80, 8080, 1024
_ANY = {"0.0.0.0", "::"}  # noqa: S104 - compared with, not bound


def check_free(connection: sqlite3.Connection, wanted: str | None, publish: Iterable[Publish]) -> None:
    """Raises what `free_name` and `lease_port` would raise at this moment for a name, and for host ports other than 0."""
    if wanted is not None:
        free_name(connection, wanted, wanted)
    for one in publish:
        if one.host_port:
            _check_port(connection, one.host_address, one.host_port, one.guest_port)


def free_name(connection: sqlite3.Connection, wanted: str | None, base_name: str) -> str:
    """`wanted`, which must be free, else `base_name`, or that with -2, -3 … Raises TakenError."""
    if wanted is not None:
        row = connection.execute("SELECT state, appliance FROM machines WHERE name = ?", (wanted,)).fetchone()
        if row is None:
            return wanted
        force = "" if VmState(row["state"]).over else "--force "
        raise TakenError(
            f"there is a machine {wanted} already ({row['appliance']}, {row['state']})",
            hint=f"squib rm {force}{wanted}, or choose another --name",
        )
    taken = {row["name"] for row in connection.execute("SELECT name FROM machines")}
    candidates = (base_name if number == 1 else f"{base_name}-{number}" for number in range(1, len(taken) + 2))
    return next(name for name in candidates if name not in taken)


def lease_port(connection: sqlite3.Connection, machine_id: str, publish: Publish) -> None:
    """Gives the machine that host port; 0 becomes `_wished` where that is free, else any free one.

    Raises TakenError, PermissionDeniedError (a privileged port), UsageError (no address of this host).
    """
    address = str(publish.host_address)
    host_port = publish.host_port or _any_port(connection, publish)
    _check_port(connection, publish.host_address, host_port, publish.guest_port)
    for table in ("port_leases", "publications"):
        connection.execute(
            f"INSERT INTO {table} (machine_id, host_address, host_port, guest_port) VALUES (?, ?, ?, ?)",  # noqa: S608 - a literal
            (machine_id, address, host_port, publish.guest_port),
        )


def _check_port(
    connection: sqlite3.Connection, host_address: IPv4Address | IPv6Address, host_port: int, guest_port: int
) -> None:
    if (holder := _holder(connection, str(host_address), host_port)) is not None:
        raise TakenError(
            f"{ports.endpoint(host_address, host_port)} is in use by the machine {holder}",
            hint=f"squib stop {holder}, or publish another port: --publish PORT:{guest_port}",
        )
    ports.check(host_address, host_port)


def _any_port(connection: sqlite3.Connection, publish: Publish) -> int:
    address = str(publish.host_address)
    wanted = _wished(publish.guest_port)
    for _ in range(100):
        port = ports.choose(publish.host_address, [port for port in wanted if _holder(connection, address, port) is None])
        if _holder(connection, address, port) is None:
            return port
    raise TakenError(f"no free port was found on {address}", hint="name one: --publish PORT:GUEST_PORT")


def _wished(guest_port: int) -> list[int]:
    """What a person would try first: the guest's own port, 8080 for its 80; none where the host's is for root to give."""
    if guest_port == _HTTP_PORT:
        return [_HTTP_HOST_PORT]
    return [guest_port] if guest_port >= _FIRST_UNPRIVILEGED else []


def _holder(connection: sqlite3.Connection, address: str, port: int) -> str | None:
    """The name of the machine that listens on `port` of `address`; an address that means all collides with every one."""
    rows = connection.execute(
        "SELECT name, host_address FROM port_leases JOIN machines ON id = machine_id WHERE host_port = ?", (port,)
    )
    return next((row["name"] for row in rows if row["host_address"] == address or _ANY & {address, row["host_address"]}), None)
