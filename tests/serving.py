"""A server for tests: in a thread, with limits of its own; or as the process that `squib serve` becomes."""

from __future__ import annotations

import importlib.util
import marshal
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import squib
from squib.guest import clock
from squib.guest.handler import Request, Response
from squib.guest.limits import Limits
from squib.guest.listeners import open_listeners
from squib.guest.logs import Logs
from squib.guest.options import Options
from squib.guest.server import Server

WAIT_S = 30
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
Address = tuple[str, int]


@contextmanager
def serving(
    limits: Limits | None = None,
    *,
    answer: Callable[[Request], Response] = clock.answer,
    wall: Callable[[], float] = time.time,
    keys: Mapping[str, object] | None = None,
    log_fd: int = 2,
    level: int = -1,
) -> Iterator[tuple[Address, Server]]:
    """A server on a free port of loopback; it is stopped, and its thread has ended, when this is left."""
    sockets = open_listeners(Options({"port": 0}, ips=("127.0.0.1",)))
    host, port = sockets[0].getsockname()
    logs = Logs((("*", level),), fd=log_fd, wall=wall)
    server = Server(answer, keys or {}, sockets, limits=limits or Limits(), logs=logs, wall=wall)
    ready = threading.Event()
    thread = threading.Thread(target=server.run, args=(ready.set,))
    thread.start()
    try:
        assert ready.wait(WAIT_S)
        yield (host, port), server
    finally:
        for _ in range(2):
            if thread.is_alive():
                server.request_stop()
        thread.join(WAIT_S)
        assert not thread.is_alive()


def connect(address: Address, *, receive_bytes: int = 0) -> socket.socket:
    sock = socket.socket()
    sock.settimeout(WAIT_S)
    if receive_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    try:
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def read_all(sock: socket.socket) -> bytes:
    """Everything up to the end, or up to a reset."""
    found = bytearray()
    try:
        while piece := sock.recv(65536):
            found += piece
    except ConnectionResetError:
        pass
    return bytes(found)


def read_answers(sock: socket.socket, count: int) -> bytes:
    """Until `count` clock answers have come."""
    found = b""
    while found.count(b'-00:00" }') < count:
        piece = sock.recv(65536)
        assert piece, f"ended after {found.count(b'-00:00')} answers"
        found += piece
    return found


def exchange(address: Address, data: bytes) -> bytes:
    """Sends, says that it is all, and reads to the end."""
    with connect(address) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return read_all(sock)


def launch(
    *arguments: str, serve: str = "squib.guest.clock:answer", sys_path: tuple[str, ...] = (), **keywords: object
) -> subprocess.Popen[bytes]:
    """The process that `squib serve` becomes."""
    found = importlib.util.find_spec("httptools")
    assert found is not None
    assert found.origin is not None
    package = Path(squib.__file__).parent
    spec = marshal.dumps(
        (
            3,
            "clock",
            "tells the time",
            serve,
            (("port", "port", 80, "Listening HTTP port."),),
            sys_path,
            ("always", 5),
            None,
        ),
        2,
    )
    fd = os.memfd_create("serve", 0)
    os.write(fd, marshal.dumps(("squib serve", (str(package.parent), str(Path(found.origin).parent.parent)), spec), 2))
    os.lseek(fd, 0, os.SEEK_SET)
    try:
        process: subprocess.Popen[bytes] = subprocess.Popen(
            [sys.executable, "-I", "-S", str(package / "guest/launch.py"), str(fd), *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=(fd,), env={"PATH": os.environ["PATH"]},
            **keywords,  # type: ignore[call-overload]  # the keywords of Popen
        )  # fmt: skip
        return process
    finally:
        os.close(fd)
