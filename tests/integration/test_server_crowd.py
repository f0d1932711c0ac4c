"""Many clients at once that hold connections, or make the server keep bytes: none shuts others out, and memory stays small."""

from __future__ import annotations

import resource
import select
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from program import free_port
from serving import GET, WAIT_S, Address, connect, exchange, launch, read_all, read_answers, serving
from squib.guest.handler import Request, Response
from squib.guest.limits import CONNECTIONS, KEPT_BYTES, Limits
from support import missing

MIB = 1024 * 1024
GROWTH_KIB = (KEPT_BYTES + 6 * MIB) // 1024  # the budget, 1,024 connections themselves, and what malloc has in between


def quick(**numbers: float) -> Limits:
    return Limits(tick_s=0.02, **numbers)  # type: ignore[arg-type]  # times and sizes alike


def resident_kib(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4


@contextmanager
def process_on(open_files: int = 2 * CONNECTIONS) -> Iterator[tuple[subprocess.Popen[bytes], Address]]:
    """The real process, listening, with so many descriptors."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))

    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 3 * CONNECTIONS:
        missing("too few descriptors for so many connections (ulimit -n)")
    port = free_port()
    process = launch(f"--port={port}", "--ips=127.0.0.1", "--logs=warning,http:info", preexec_fn=limited)
    try:
        assert process.stderr is not None
        assert select.select([process.stderr], [], [], WAIT_S)[0]
        assert b"listening on" in process.stderr.readline()
        drained = threading.Thread(target=process.stderr.read)
        drained.start()
        yield process, ("127.0.0.1", port)
    finally:
        process.kill()
        process.wait()
        drained.join(WAIT_S)
        process.communicate()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_longest_idle_connection_gives_way() -> None:
    with serving(quick(connections=4)) as (address, server), ExitStack() as stack:
        socks = [stack.enter_context(connect(address)) for _ in range(4)]
        for sock in socks:
            sock.sendall(GET)
            read_answers(sock, 1)
            time.sleep(0.005)
        socks[0].sendall(GET)
        read_answers(socks[0], 1)  # now the second is the longest idle one
        assert exchange(address, GET).startswith(b"HTTP/1.1 200 OK")
        assert read_all(socks[1]) == b""
        for sock in (socks[0], socks[2], socks[3]):
            sock.sendall(GET)
            read_answers(sock, 1)
        assert len(server._connections) <= 4


def test_new_clients_that_say_nothing_give_way_too() -> None:
    with serving(quick(connections=4)) as (address, _), ExitStack() as stack:
        socks = [stack.enter_context(connect(address)) for _ in range(12)]
        assert exchange(address, GET).startswith(b"HTTP/1.1 200 OK")
        for sock in socks[:8]:
            assert read_all(sock) == b""


def test_a_request_that_has_come_keeps_its_connection() -> None:
    """The longest idle one sends its request while the server is busy, right behind a newcomer."""
    entered, go_on = threading.Semaphore(0), threading.Semaphore(0)

    def answer(request: Request) -> Response:
        if request.target == "/busy":
            entered.release()
            assert go_on.acquire(timeout=WAIT_S)
        return Response(request.target.encode())

    with serving(quick(connections=3), answer=answer) as (address, _), ExitStack() as stack:
        first, second, third = (stack.enter_context(connect(address)) for _ in range(3))
        for sock in (first, second, third):
            sock.sendall(GET)
            sock.recv(1000)
        third.sendall(b"GET /busy HTTP/1.1\r\nHost: x\r\n\r\n")
        assert entered.acquire(timeout=WAIT_S)
        newcomer = stack.enter_context(connect(address))
        newcomer.sendall(b"GET /new HTTP/1.1\r\nHost: x\r\n\r\n")
        first.sendall(b"GET /first HTTP/1.1\r\nHost: x\r\n\r\n")
        go_on.release()
        assert newcomer.recv(1000).endswith(b"\r\n\r\n/new")
        assert first.recv(1000).endswith(b"\r\n\r\n/first")
        assert third.recv(1000).endswith(b"\r\n\r\n/busy")
        assert read_all(second) == b""


UNDER_WAY = {
    "heads": b"GET / HTTP/1.1\r\nHost: x\r\nA:",
    "bodies": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc",
    "chunks": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
}


@pytest.mark.parametrize("begun", UNDER_WAY.values(), ids=UNDER_WAY.keys())
def test_requests_under_way_for_long_give_way_where_nobody_is_idle(begun: bytes) -> None:
    with serving(quick(connections=4, crowded_s=0.2)) as (address, server), ExitStack() as stack:
        socks = [stack.enter_context(connect(address)) for _ in range(4)]
        for sock in socks:
            sock.sendall(begun)
        until(lambda: sum(connection.kept > 0 for connection in server._connections.values()) == 4)
        start = time.monotonic()
        assert exchange(address, GET).startswith(b"HTTP/1.1 200 OK")
        assert time.monotonic() - start < Limits().head_s / 2
        assert sum(bool(select.select([sock], [], [], 0)[0]) for sock in socks) == 1


@pytest.mark.parametrize("sent", [b"", GET, GET + b"\r\n"], ids=["nothing", "a request", "a request and an empty line"])
def test_one_client_with_all_connections_idle_shuts_nobody_out(sent: bytes) -> None:
    with process_on() as (_, address), ExitStack() as stack:
        socks = [stack.enter_context(connect(address)) for _ in range(CONNECTIONS)]
        for sock in socks:
            sock.sendall(sent)
        for sock in socks if sent else ():
            read_answers(sock, 1)
        start = time.monotonic()
        for _ in range(100):
            assert exchange(address, GET).startswith(b"HTTP/1.1 200 OK")
        assert time.monotonic() - start < Limits().idle_s / 3


def test_idle_connections_give_way_where_descriptors_end_first() -> None:
    with process_on(open_files=200) as (_, address), ExitStack() as stack:
        for _ in range(600):
            stack.enter_context(connect(address))
        start = time.monotonic()
        for _ in range(30):
            assert exchange(address, GET).startswith(b"HTTP/1.1 200 OK")
        assert time.monotonic() - start < Limits().idle_s / 3


def test_more_clients_than_connections_are_all_served() -> None:
    with serving() as (address, server), ExitStack() as stack:
        socks = [stack.enter_context(connect(address)) for _ in range(CONNECTIONS + 76)]
        for sock in socks[76:]:
            sock.sendall(GET)
            read_answers(sock, 1)
        assert len(server._connections) == CONNECTIONS
        for sock in socks[:76]:
            assert read_all(sock) == b""


HELD = {
    "unfinished heads": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: %s\r\n" % (b"a" * 7990) * 4 + b"B: c",
    "one long request line": b"GET /" + b"a" * 8000,
    "heads whose bodies do not come": b"POST / HTTP/1.1\r\nHost: x\r\n" + b"A: %s\r\n" % (b"a" * 7990) * 4 + b"Content-Length: 9\r\n\r\na",
    "chunk extensions": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;a=" + b"b" * 4000,
    "pipelined requests whose answers are not taken": GET * 1000,
    "pipelined requests with long heads": b"GET / HTTP/1.1\r\nHost: x\r\nA: %s\r\n\r\n" % (b"a" * 30_000) * 6,
}  # fmt: skip


@pytest.mark.parametrize("held", HELD.values(), ids=HELD.keys())
def test_what_a_thousand_clients_make_the_server_keep_is_bounded(held: bytes) -> None:
    with process_on() as (process, address), ExitStack() as stack:
        exchange(address, GET)
        before = most = resident_kib(process.pid)
        for number in range(1000):
            sock = stack.enter_context(connect(address, receive_bytes=4096))
            sock.setblocking(False)
            left = memoryview(held)
            try:
                while left and select.select([], [sock], [], 0)[1]:
                    left = left[sock.send(left) :]
            except OSError:
                pass  # it was cut off
            if number % 50 == 49:
                most = max(most, resident_kib(process.pid))
                assert exchange(address, GET).startswith(b"HTTP/1.1 200 OK")
        most = max(most, resident_kib(process.pid))
        assert most - before < GROWTH_KIB, most - before


def test_who_takes_a_large_answer_is_not_cut_off_and_who_does_not_is() -> None:
    large = b"x" * (12 * MIB)

    def answer(request: Request) -> Response:
        return Response(large if request.target == "/large" else request.target.encode())

    get = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"
    with serving(quick(write_s=WAIT_S, kept_bytes=MIB), answer=answer) as (address, server), ExitStack() as stack:
        idlers = [stack.enter_context(connect(address, receive_bytes=4096)) for _ in range(3)]
        for sock in idlers:
            sock.sendall(get)
        taker = stack.enter_context(connect(address, receive_bytes=65536))
        taker.sendall(get)
        taken = 0
        while taken < len(large):
            piece = taker.recv(65536)
            assert piece, f"cut off after {taken} bytes"
            taken += len(piece)
            time.sleep(0.005)  # some seconds for all of it
        until(lambda: len(server._connections) == 1)
        assert server._crowd.kept < MIB
        for sock in idlers:
            assert len(read_all(sock)) < len(large)


def test_nothing_is_counted_when_all_is_answered() -> None:
    with serving(quick()) as (address, server), ExitStack() as stack:
        socks = [stack.enter_context(connect(address)) for _ in range(20)]
        for count, sock in enumerate(socks):
            sock.sendall((GET * count + b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab")[: -1 - count])
        for sock in socks[10:]:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.close()
        until(lambda: len(server._connections) == 10)
        assert server._crowd.kept == sum(connection.kept for connection in server._connections.values())
        for sock in socks[:10]:
            sock.close()
        until(lambda: not server._connections)
        assert server._crowd.kept == 0


def test_a_client_that_takes_its_pipelined_answers_has_all_of_them() -> None:
    count = 4000
    with serving(quick(output_bytes=2000)) as (address, _), connect(address, receive_bytes=4096) as sock:
        sender = threading.Thread(target=sock.sendall, args=(GET * count,))
        sender.start()
        read_answers(sock, count)
        sender.join(WAIT_S)
