"""Opens the sockets that the server accepts connections from, all of them or none."""

from __future__ import annotations

import _socket
import errno
import os
import stat
from _socket import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from squib.guest.options import Options

BACKLOG = 4096  # the kernel cuts it to net.core.somaxconn
_SUN_PATH_BYTES = 107  # unix(7): 108 with the terminating NUL


class ListenError(Exception):
    """A listener that cannot be opened: `str()` says which and why, `errno` is the system's (0: none)."""

    def __init__(self, address: str, why: str, number: int) -> None:
        super().__init__(f"cannot listen on {address}: {why}")
        self.errno = number


def open_listeners(options: Options) -> list[socket]:
    """Bound, listening, non-blocking: TCP for each address, then the Unix-domain one. Raises ListenError, and opens none."""
    port = options.values["port"]
    if not isinstance(port, int):
        raise TypeError("the key port is a number")
    found: list[socket] = []
    try:
        found.extend(_tcp(ip, port) for ip in options.ips)
        if options.socket is not None:
            found.append(_unix(options.socket))
    except BaseException:
        for sock in found:
            sock.close()
        raise
    return found


def describe(sock: socket) -> str:
    """`tcp:0.0.0.0:80`, `tcp:[::]:80` or `unix:/run/x`."""
    name = sock.getsockname()
    if sock.family == _socket.AF_UNIX:
        return f"unix:{os.fsdecode(name)}"
    return f"tcp:{_host_port(name[0], name[1])}"


def describe_for_log(sock: socket) -> str:
    """As the seed says it: `8080/TCP`; the path for a Unix-domain socket."""
    name = sock.getsockname()
    return os.fsdecode(name) if sock.family == _socket.AF_UNIX else f"{name[1]}/TCP"


def _tcp(ip: str, port: int) -> socket:
    family = _socket.AF_INET6 if ":" in ip else _socket.AF_INET
    try:
        sock = socket(family, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK)
    except OSError as error:
        raise _problem(_host_port(ip, port), error) from error
    try:
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        if family == _socket.AF_INET6:
            sock.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 1)
        # Accepted sockets inherit it. Answers go out whole: waiting to fill a segment would only delay them.
        sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        sock.bind((ip, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _problem(_host_port(ip, port), error) from error
    return sock


def _unix(path: str) -> socket:
    if len(os.fsencode(path)) > _SUN_PATH_BYTES:
        raise ListenError(path, f"a socket's path has at most {_SUN_PATH_BYTES} bytes", errno.ENAMETOOLONG)
    sock = socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK)
    try:
        _remove_stale(path)
        sock.bind(path)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _problem(path, error) from error
    except ListenError:
        sock.close()
        raise
    return sock


def _remove_stale(path: str) -> None:
    """Removes a socket file that nobody listens on; refuses to touch anything else."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(path, "there is a file that is no socket", errno.EEXIST)
    probe = socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK)
    try:
        probe.connect(path)
    except ConnectionRefusedError:
        os.unlink(path)
        return
    except BlockingIOError:
        pass  # its backlog is full: somebody listens
    finally:
        probe.close()
    raise ListenError(path, "another process listens there", errno.EADDRINUSE)


def _problem(address: str, error: OSError) -> ListenError:
    reasons = {
        errno.EADDRINUSE: "another process listens there",
        errno.EACCES: "this user may not",
        errno.EPERM: "this user may not",
        errno.EADDRNOTAVAIL: "this machine does not have that address",
        errno.EAFNOSUPPORT: "this machine does not speak that protocol",
    }
    number = error.errno or 0
    return ListenError(address, reasons.get(number, error.strerror or str(error)), number)


def _host_port(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
