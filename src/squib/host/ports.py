"""Whether a TCP address of this host can be listened on: asked by doing it, with the flags that QEMU uses.

QEMU's user network sets SO_REUSEADDR, binds and listens (libslirp, `tcpx_listen`); what fails here fails there. Between the
answer and QEMU's own bind somebody else may come, so QEMU's refusal is an error of its own all the same.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from squib.errors import HostError, PermissionDeniedError, SquibError, TakenError, UsageError

__all__ = ["check", "choose", "endpoint", "taken_hint"]

Address = IPv4Address | IPv6Address


def endpoint(address: Address, port: int) -> str:
    """`127.0.0.1:8080`, `[::1]:8080`."""
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def taken_hint(port: int) -> str:
    """What to do about a port that is in use."""
    return f"see who has it: ss -ltnp 'sport = :{port}', or publish another one: --publish PORT:GUEST_PORT"


def check(address: Address, port: int) -> None:
    """Returns where `address:port` is free for this user.

    Raises TakenError, PermissionDeniedError (a privileged port), UsageError (not an address of this host), HostError.
    """
    _listen(address, port)


def choose(address: Address, preferred: Iterable[int] = ()) -> int:
    """The first of `preferred` that is free, else any free port. Raises UsageError or HostError."""
    for port in preferred:
        try:
            return _listen(address, port)
        except (TakenError, PermissionDeniedError):
            continue
    return _listen(address, 0)


def _listen(address: Address, port: int) -> int:
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if address.version == 6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((str(address), port))
            listener.listen(1)
            return int(listener.getsockname()[1])
    except OSError as error:
        raise _explain(address, port, error) from error


def _explain(address: Address, port: int, error: OSError) -> SquibError:
    where = endpoint(address, port)
    match error.errno:
        case errno.EADDRINUSE:
            return TakenError(f"{where} is in use by another program", hint=taken_hint(port))
        case errno.EACCES:
            first = _first_unprivileged()
            return PermissionDeniedError(
                f"this user may not listen on {where}: ports below {first} are privileged",
                hint=f"publish a port from {first} on, or: sudo sysctl net.ipv4.ip_unprivileged_port_start={port}",
            )
        case errno.EADDRNOTAVAIL:
            return UsageError(f"{address} is not an address of this host", hint="see its addresses: ip address")
        case errno.EAFNOSUPPORT:
            return UsageError(f"this host has no IPv{address.version}", hint="publish on 127.0.0.1")
        case _:
            return HostError(f"{where} cannot be listened on: {error.strerror}")


def _first_unprivileged() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 1024
