"""Whether a TCP address of this host can be listened on: asked by doing it, with the flags that QEMU uses.

QEMU's user network sets SO_REUSEADDR, binds and listens (libslirp, `tcpx_listen`); what fails here fails there. Between the
answer and QEMU's own bind somebody else may come, so QEMU's refusal is an error of its own all the same.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from squib.errors import HostError, PermissionDeniedError, SquibError, TakenError, UsageError
from squib.host import unix_socket

__all__ = ["check", "choose", "endpoint", "hold", "keeper", "taken_hint"]

Address = IPv4Address | IPv6Address

_KEEPER, _CONNECT_S = "ports.sock", 5.0
_SO_ATTACH_FILTER, _SO_LOCK_FILTER = 26, 44
"""asm-generic/socket.h."""
_DROP_ALL = struct.pack("=HBBI", 0x06, 0, 0, 0)
"""One instruction of a classic BPF program: BPF_RET | BPF_K, 0 (linux/filter.h)."""
_FDS_AT_ONCE = 253
"""net/scm.h, SCM_MAX_FD."""


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


def hold(address: Address, port: int) -> socket.socket:
    """Takes the port without listening on it, as long as this socket or a copy of it is open: who connects is refused.

    No packet is let in to it, for good: it may get into the hands of a guest, and it is a socket of this network. Raises as
    `check` does.
    """
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    holder = socket.socket(family, socket.SOCK_STREAM)
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # old connections of it do not count
        holder.bind((str(address), port))
        # While it is set, others that set it as well could listen beside this one (socket(7), net/ipv4/inet_connection_sock.c).
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        _deafen(holder)
    except OSError as error:
        holder.close()
        raise _explain(address, port, error) from error
    return holder


def _deafen(holder: socket.socket) -> None:
    """A filter that drops all, and that cannot be taken off (socket(7), SO_LOCK_FILTER)."""
    program = ctypes.create_string_buffer(_DROP_ALL, len(_DROP_ALL))
    holder.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", 1, ctypes.addressof(program)))
    holder.setsockopt(socket.SOL_SOCKET, _SO_LOCK_FILTER, 1)


def keeper(holders: Sequence[socket.socket], folder: Path) -> socket.socket:
    """A socket that keeps `holders` open as long as it is open itself, in whatever process; its name was in `folder` meanwhile.

    It is for a program that closes all that it inherits but its standard streams. They are sent over a connection that nobody
    ever accepts, so they stay in its queue (unix(7), SCM_RIGHTS). Who reads this socket gets EINVAL; who accepts gets
    the holders, which hear nothing (`hold`). Raises HostError, StorageError and its like.
    """
    path = folder / _KEEPER
    listener = unix_socket.listen(path)
    try:
        with unix_socket.connect(path, _CONNECT_S) as sender:
            path.unlink()
            for first in range(0, len(holders), _FDS_AT_ONCE):
                socket.send_fds(sender, [b"\0"], [one.fileno() for one in holders[first : first + _FDS_AT_ONCE]])
    except OSError as error:
        listener.close()
        raise HostError(f"the published ports cannot be kept: {error.strerror}") from error
    return listener


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
