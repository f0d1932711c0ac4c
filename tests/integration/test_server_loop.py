"""The loop against clients of every kind, over real sockets, with limits short enough to wait for."""

from __future__ import annotations

import http.client
import os
import re
import socket
import threading
import time
from pathlib import Path

import pytest

from serving import GET, WAIT_S, connect, exchange, read_all, read_answers, serving
from squib.guest.clock import Clock, body_at
from squib.guest.handler import Request, Response
from squib.guest.limits import Limits
from squib.guest.logs import DEBUG, INFO


def quick(**numbers: float) -> Limits:
    return Limits(tick_s=0.02, **numbers)  # type: ignore[arg-type]  # times and sizes alike


def resident_kib() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4


def test_the_seeds_answer_with_a_date() -> None:
    def wall() -> float:
        return 1795474942.9

    with serving(wall=wall, answer=Clock(wall).answer) as (address, _):
        assert exchange(address, GET) == (
            b"HTTP/1.1 200 OK\r\ncontent-length: 40\r\ncontent-type: application/json\r\n"
            b"date: Mon, 23 Nov 2026 23:02:22 GMT\r\n\r\n"
            b'{ "time": "2026-11-23 23:02:22 -00:00" }'
        )  # fmt: skip


def test_http_client_keeps_one_connection() -> None:
    with serving() as (address, _):
        connection = http.client.HTTPConnection(*address, timeout=WAIT_S)
        for method, body in (
            ("GET", None),
            ("POST", b"x" * 100_000),
            ("HEAD", None),
            ("PUT", iter([b"a", b"b"])),
            ("GET", None),
        ):
            connection.request(method, "/", body=body, encode_chunked=False)
            answer = connection.getresponse()
            assert answer.status == 200
            assert answer.getheader("content-length") == "40"
            assert len(answer.read()) == (0 if method == "HEAD" else 40)
            assert connection.sock is not None
        connection.close()


def test_a_thousand_pipelined_requests() -> None:
    with serving() as (address, _):
        answer = exchange(address, GET * 1000 + b"nonsense\r\n")
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 1000
    assert answer.count(b"HTTP/1.1 400 Bad Request\r\n") == 1
    assert answer.rindex(b"HTTP/1.1 200") < answer.index(b"HTTP/1.1 400")


def test_a_thousand_pipelined_requests_with_bodies_in_small_batches() -> None:
    post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
    with serving(quick(requests_a_turn=3, output_bytes=500)) as (address, _):
        assert exchange(address, post * 1000).count(b"HTTP/1.1 200 OK") == 1000


@pytest.mark.parametrize("lead", [b"", GET])
def test_an_error_reaches_a_client_that_is_still_sending(lead: bytes) -> None:
    with serving() as (address, _), connect(address) as sock:
        sock.sendall(lead + b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 300_000)
        answer = read_all(sock)
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == (1 if lead else 0)
    head, _, body = answer.rpartition(b"\r\n\r\n")
    assert b"HTTP/1.1 413 Content Too Large\r\n" in head
    assert b"\r\nconnection: close" in head
    assert b"\r\ndate: " in head
    assert b"content-length: %d\r\n" % len(body) in head


def test_an_error_to_head_has_no_body() -> None:
    with serving() as (address, _):
        answer = exchange(address, b"HEAD / HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b"\r\n\r\n")


def test_405_says_what_is_allowed() -> None:
    with serving() as (address, _):
        assert b"\r\nallow: GET" in exchange(address, b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n")


def test_http_1_0() -> None:
    with serving() as (address, _), connect(address) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert b"\r\nconnection: keep-alive\r\n" in read_answers(sock, 1)
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n" + GET)
        answer = read_all(sock)
        assert answer.count(b"HTTP/1.1 ") == 1
        assert b"\r\nconnection: close\r\n" in answer


def test_continue_comes_before_the_body() -> None:
    with serving() as (address, _), connect(address) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"abc")
        assert read_answers(sock, 1).startswith(b"HTTP/1.1 200 OK\r\n")


def test_half_closed_in_the_middle_of_a_request() -> None:
    with serving() as (address, _):
        assert exchange(address, GET[:-2]).startswith(b"HTTP/1.1 400 ")
        assert exchange(address, b"") == b""


def test_slowloris_is_timed_out_however_it_drips() -> None:
    with serving(quick(head_s=0.3)) as (address, _), connect(address) as sock:
        stop = threading.Event()

        def drip() -> None:
            while not stop.wait(0.02):
                try:
                    sock.sendall(b"a")
                except OSError:
                    return

        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nA: ")
        thread = threading.Thread(target=drip)
        thread.start()
        answer = sock.recv(1000)
        stop.set()
        thread.join(60)
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")


def test_a_slow_body_is_timed_out() -> None:
    with serving(quick(body_s=0.2)) as (address, _), connect(address) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na")
        assert sock.recv(1000).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("behind", [b"\r", b"\r\n", b"\r\n\r\n"])
def test_an_empty_line_behind_a_request_makes_no_deadline_and_no_stop_wait(behind: bytes) -> None:
    with serving(quick(head_s=0.2, stop_s=WAIT_S)) as (address, server), connect(address) as sock, connect(address) as early:
        sock.sendall(GET + behind)
        read_answers(sock, 1)
        early.sendall(behind)
        assert read_all(early) == b""  # a new client has no more time for them than for nothing
        for _ in range(3 * Limits().blank_lines):  # as some old clients do it
            sock.sendall(b"\n" * behind.endswith(b"\r") + GET)
            read_answers(sock, 1)
            sock.sendall(behind)
        server.request_stop()
        start = time.monotonic()
        assert read_all(sock) == b""
        assert time.monotonic() - start < WAIT_S / 2


def test_idle_connections_are_closed_without_a_word() -> None:
    with serving(quick(idle_s=0.2, head_s=0.2)) as (address, _), connect(address) as used, connect(address) as unused:
        used.sendall(GET)
        read_answers(used, 1)
        assert read_all(used) == b""
        assert read_all(unused) == b""


def test_a_client_that_never_reads_is_cut_off_and_costs_little() -> None:
    before = resident_kib()
    with serving(quick(write_s=0.3)) as (address, server), connect(address, receive_bytes=4096) as sock:
        sock.settimeout(0.2)
        with pytest.raises(OSError):  # a timeout while it is not read from, or a reset
            while True:
                sock.sendall(GET * 500)
        with connect(address) as other:  # meanwhile others are served
            other.sendall(GET)
            read_answers(other, 1)
        deadline = time.monotonic() + WAIT_S
        while len(server._connections) > 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not server._connections
    assert resident_kib() - before < 16_000


def test_100_mb_of_garbage_in_bounded_memory() -> None:
    before = resident_kib()
    with serving() as (address, _):
        for garbage in (b"\0", b"\xff", b"a", b"\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nA: "):
            block = garbage * (1024 * 1024 // len(garbage))
            with connect(address) as sock:
                try:
                    for _ in range(20):
                        sock.sendall(block)
                    sock.shutdown(socket.SHUT_WR)
                except OSError:
                    continue
                assert b" 200 " not in read_all(sock)
    assert resident_kib() - before < 24_000


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0, 3.2e9])
def test_a_clock_that_jumps_moves_no_timeout(jump: float) -> None:
    wall = [1_000_000_000.0]
    with serving(quick(idle_s=60), wall=lambda: wall[0]) as (address, _), connect(address) as sock:
        sock.sendall(GET)
        assert b"date: Sun, 09 Sep 2001 01:46:40 GMT" in read_answers(sock, 1)
        wall[0] += jump
        sock.sendall(GET)
        expected = time.strftime("%d %b %Y", time.gmtime(wall[0])).encode()
        assert expected in read_answers(sock, 1)


def test_a_handler_that_raises() -> None:
    def answer(request: Request) -> Response:
        if request.target == "/none":
            return None  # type: ignore[return-value]  # what a careless handler does
        if request.target == "/exit":
            raise SystemExit(3)
        if request.target == "/bad":
            raise RuntimeError("no\ngood")
        return Response(str(request.headers).encode(), headers=(("X-Key", str(request.keys["k"])),))

    read_end, write_end = os.pipe()
    with serving(answer=answer, keys={"k": 7}, log_fd=write_end, level=INFO) as (address, _), connect(address) as sock:
        for target in ("/bad", "/none", "/exit"):
            sock.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            answered = sock.recv(1000)
            assert answered.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
            assert answered.endswith(b"\r\n\r\nInternal Server Error")
        sock.sendall(b"GET /good HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n")
        good = sock.recv(1000)
        assert b"\r\nx-key: 7\r\n" in good
        assert good.endswith(b"(('host', 'x'), ('a', 'b'))")
    os.close(write_end)
    with os.fdopen(read_end) as file:
        lines = [line.split(": ", 1)[1] for line in file]
    assert re.fullmatch(rf"ERR \[http\] GET /bad: RuntimeError: no good \({re.escape(__file__)}, line \d+\)\n", lines[0])
    assert lines.count("INF [http] responding to 1\n") == 4


def test_a_log_pipe_that_nobody_empties_stops_nothing() -> None:
    read_end, write_end = os.pipe()
    with serving(log_fd=write_end, level=DEBUG) as (address, _):
        assert exchange(address, GET * 20_000).count(b"200 OK") == 20_000
    os.close(write_end)
    os.close(read_end)


def test_a_closed_log_stops_nothing() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with serving(log_fd=write_end, level=DEBUG) as (address, _):
        assert exchange(address, GET * 100).count(b"200 OK") == 100
    os.close(write_end)


def test_the_body_is_of_the_second_in_which_it_was_asked() -> None:
    now = [100.999]
    clock = Clock(lambda: now[0])
    request = Request("GET", "/", (), {})
    assert clock.answer(request).body == body_at(100)
    now[0] = 101.0
    assert clock.answer(request).body == body_at(101)
    now[0] = 50.0
    assert clock.answer(request).body == body_at(50)


def test_a_request_that_comes_again_is_asked_again_and_may_come_in_any_pieces() -> None:
    asked: list[tuple[str, str]] = []

    def answer(request: Request) -> Response:
        asked.append((request.target, dict(request.headers)["a"]))
        return Response(b'"%d-00:00" }' % len(asked))

    with serving(answer=answer) as (address, _), connect(address) as sock:
        for number in range(30):
            data = b"GET /%d HTTP/1.1\r\nHost: x\r\nA: %d\r\n\r\n" % (number % 3, number % 3)
            cut = number * 2 if number % 2 else 0  # each second one goes the long way
            if cut:
                sock.sendall(data[:cut])
                time.sleep(0.002)
            sock.sendall(data[cut:])
            assert read_answers(sock, 1).endswith(b'\r\n\r\n"%d-00:00" }' % (number + 1))
    assert asked == [(f"/{number % 3}", f"{number % 3}") for number in range(30)]


def test_an_event_of_a_descriptor_that_was_closed_in_the_same_turn_is_nothing() -> None:
    with serving() as (address, server):
        server._other_event(1_000_000, 1, None)
        assert exchange(address, GET).startswith(b"HTTP/1.1 200 OK")
