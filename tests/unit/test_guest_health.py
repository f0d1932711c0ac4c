"""One check of the health process, against servers that answer well, badly, late, or not at all."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.guest import health
from squib.guest.spec import Health

PATIENCE_S = 30.0
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


@contextmanager
def server(
    answer: Callable[[socket.socket], None], family: int = socket.AF_INET
) -> Iterator[tuple[tuple[str, int], list[bytes]]]:
    """A server that handles one connection; its address, and what it was asked."""
    asked: list[bytes] = []
    with socket.create_server(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0), family=family) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                asked.append(client.recv(65536))
                answer(client)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[:2], asked
        thread.join(PATIENCE_S)


def says(data: bytes) -> Callable[[socket.socket], None]:
    return lambda client: client.sendall(data)


@pytest.mark.parametrize(
    ("data", "outcome"),
    [
        (GOOD, "ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "ok"),
        (b"HTTP/1.0 301 Moved\r\nLocation: /x\r\n\r\n", "ok"),
        (b"HTTP/1.1 399\r\n\r\n", "ok"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (3 << 20), "ok"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "status:404"),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "status:503"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "status:100"),
        (b"HTTP/2.0 200 OK\r\n\r\n", "not-http"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "not-http"),
        (b"SSH-2.0-OpenSSH\r\n", "not-http"),
        (b"HTTP/1.1 20", "not-http"),
        (b"", "closed"),
    ],
    ids=lambda value: value[:24].decode() if isinstance(value, bytes) else value,
)
def test_answers(data: bytes, outcome: str) -> None:
    def answer(client: socket.socket) -> None:
        try:
            client.sendall(data)
        except OSError:
            return  # it reads as much as it wants

    with server(answer) as (address, asked):
        assert health.check(address, "/healthz?full=1", PATIENCE_S) == outcome
    head = asked[0].decode()
    assert head.startswith(f"GET /healthz?full=1 HTTP/1.1\r\nHost: 127.0.0.1:{address[1]}\r\n")
    assert "\r\nUser-Agent: squib-health\r\nConnection: close\r\n\r\n" in head


@pytest.mark.parametrize("data", [b"", GOOD[:20], GOOD], ids=["nothing", "half an answer", "an answer without an end"])
def test_what_does_not_come_in_time(data: bytes) -> None:
    gone = threading.Event()

    def answer(client: socket.socket) -> None:
        client.sendall(data)
        gone.wait(PATIENCE_S)

    with server(answer) as (address, _):
        assert health.check(address, "/", 0.05) == "timeout"
        gone.set()


def test_a_connection_that_breaks() -> None:
    def answer(client: socket.socket) -> None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close(2) sends a reset

    with server(answer) as (address, _):
        assert health.check(address, "/", PATIENCE_S) == "closed"


def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert health.check(unused.getsockname(), "/", PATIENCE_S) == "refused"


def test_ipv6() -> None:
    try:
        with server(says(GOOD), socket.AF_INET6) as (address, asked):
            assert health.check(address, "/", PATIENCE_S) == "ok"
    except OSError:
        pytest.skip("this machine has no IPv6")
    assert f"\r\nHost: [::1]:{address[1]}\r\n".encode() in asked[0]


@given(st.binary(max_size=80) | st.builds(b"HTTP/1.1 ".__add__, st.binary(max_size=20)))
def test_any_bytes_are_judged_by_a_word_that_a_report_can_hold(head: bytes) -> None:
    outcome = health.judge(head)
    assert outcome in {"ok", "closed", "not-http"} or outcome.startswith("status:")
    assert len(outcome.encode("ascii")) <= health.RECORD_BYTES


def test_a_listener_on_every_address_is_asked_by_loopback() -> None:
    with socket.create_server(("0.0.0.0", 0)) as every, socket.create_server(("127.0.0.1", 0)) as one:
        assert health.reachable(every) == ("127.0.0.1", every.getsockname()[1])
        assert health.reachable(one) == one.getsockname()


def test_reports_are_read_whole_and_the_end_of_them() -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(read_end):
        process = health.HealthProcess(1, read_end)
        os.write(write_end, b"ok".ljust(health.RECORD_BYTES) + b"status:503".ljust(health.RECORD_BYTES))
        assert process.read_reports() == ["ok", "status:503"]
        os.close(write_end)
        assert process.read_reports() == []


def test_it_asks_until_nobody_listens_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = iter(["refused", "status:503", "ok", "timeout", "ok"])
    pauses: list[float] = []
    read_end, write_end = os.pipe()

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 4:
            os.close(read_end)

    monkeypatch.setattr(health, "check", lambda *_: next(outcomes))
    monkeypatch.setattr(time, "sleep", pause)
    try:
        assert health.run(Health("/", 30_000, 2_000, 3, 0), ("127.0.0.1", 80), write_end) == 0
    finally:
        os.close(write_end)
    assert pauses == [1.0, 1.0, 30.0, 30.0], "each second until the first good one"
