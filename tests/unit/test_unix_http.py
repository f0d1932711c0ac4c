"""HTTP over a Unix-domain socket with who is not to be trusted: whatever comes, and however slowly, it ends in time."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from squib.host import unix_socket
from squib.host.unix_http import UnixHttp

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\n"
TIMEOUT_S = 0.5


@contextlib.contextmanager
def served(path: Path, parts: Iterable[bytes], pause: float) -> Iterator[UnixHttp]:
    """A connection to who answers with `parts`, a `pause` after each, until the other side has gone."""
    over = threading.Event()

    def answer(server: socket.socket) -> None:
        with server.accept()[0] as peer, contextlib.suppress(OSError):
            peer.recv(1 << 16)
            for part in parts:
                peer.sendall(part)
                if over.wait(pause):
                    return
            over.wait()

    with unix_socket.listen(path) as server:
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        try:
            with UnixHttp(path, timeout=5) as http:
                yield http
        finally:
            over.set()
            thread.join(60)


def dripping(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


@pytest.mark.parametrize("parts", [[OK], [CONTINUE, CONTINUE, OK], dripping(OK)])
def test_an_answer(tmp_path: Path, parts: list[bytes]) -> None:
    with served(tmp_path / "s", parts, 0.001) as http:
        assert http.request("GET", "/", timeout=5) == (200, b"body")


@pytest.mark.parametrize(
    ("parts", "pause"),
    [
        (dripping(HEAD + b"x: " + bytes(1000)), 0.02),
        (dripping(HEAD + b"Content-Length: 1000\r\n\r\n" + bytes(1000)), 0.02),
        (dripping(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 1000), 0.02),
        ([CONTINUE] * 1000, 0.02),
        ([], 0.0),
    ],
)
def test_who_drips_is_not_waited_for(tmp_path: Path, parts: list[bytes], pause: float) -> None:
    with served(tmp_path / "s", parts, pause) as http:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            http.request("PUT", "/", b"{}", timeout=TIMEOUT_S)
        assert time.monotonic() - began < 5 * TIMEOUT_S


@pytest.mark.parametrize(
    "parts",
    [
        itertools.repeat(CONTINUE * 1000),
        itertools.repeat(HEAD * 100),
        itertools.chain([HEAD + b"\r\n"], itertools.repeat(bytes(1 << 16))),
        itertools.chain([HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"], itertools.repeat(b"x: y\r\n" * 1000)),
    ],
)
def test_an_answer_without_end(tmp_path: Path, parts: Iterable[bytes]) -> None:
    with served(tmp_path / "s", parts, 0.0) as http, pytest.raises(ConnectionError, match=r"longer than|no answer of HTTP"):
        http.request("GET", "/", timeout=30)
