"""Asking a server that is right, wrong, slow or not there; and the checks of what a clock answers."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from squib.errors import UsageError
from squib.probe import http
from squib.probe.http import Answer, ask
from squib.probe.report import report

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"


@contextlib.contextmanager
def peer(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    def run() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            serve(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/a?b=c"
        thread.join(20)
        assert not thread.is_alive()


def test_an_answer() -> None:
    heard: list[bytes] = []

    def run() -> None:
        connection, _ = listener.accept()
        with connection:
            heard.append(connection.recv(65536))
            connection.sendall(HEAD + b"body")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run)
        thread.start()
        answer = ask(f"http://127.0.0.1:{listener.getsockname()[1]}/a?b=c", 20)
        thread.join(60)
    assert (answer.status, answer.body, answer.error) == (200, b"body", "")
    assert answer.latency_us > 0
    assert heard[0].startswith(b"GET /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:")


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"", "closed before an answer"),
        (b"SSH-2.0-OpenSSH\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 abc\r\n\r\n", "does not speak HTTP"),
        (HEAD + b"bo", "closed in the middle"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (http.MAX_BODY + 2), "longer than 1,048,576 bytes"),
    ],
)
def test_wrong_answers(said: bytes, error: str) -> None:
    with peer(lambda connection: connection.sendall(said)) as url:
        answer = ask(url, 20)
    assert error in answer.error
    assert len(answer.body) <= http.MAX_BODY


def test_a_reset() -> None:
    def serve(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with peer(serve) as url:
        assert "reset" in ask(url, 20).error


def test_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert "refused" in ask(f"http://127.0.0.1:{port}", 20).error


@pytest.mark.parametrize("drip", [b"", b"H", HEAD])
def test_one_deadline_for_all_of_it(drip: bytes) -> None:
    done = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.sendall(drip)
        while not done.wait(0.01):
            if drip:
                connection.sendall(b"" if drip == HEAD else b"x")

    with peer(serve) as url:
        answer = ask(url, 0.2)
        done.set()
    assert "in time" in answer.error or "within 0.2 s" in answer.error


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1",
        "ftp://127.0.0.1",
        "https://127.0.0.1",
        "http://",
        "http://a:b",
        "http://a:70000",
        "http://a/b c",
        "http://[::1",
    ],
)
def test_bad_urls(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        ask(url, 1)
    assert "http://127.0.0.1:8080/" in caught.value.hint


def answer(time: str, at: float, **changes: object) -> Answer:
    values = {"status": 200, "body": json.dumps({"time": time}).encode(), "latency_us": 1000, "asked_at_s": at, **changes}
    return Answer(**values)  # type: ignore[arg-type]  # the test's own table


def test_time_that_moves() -> None:
    answers = [answer("2026-11-23 23:59:59 -00:00", 0), answer("2026-11-24 00:00:00 -00:00", 1.01)]
    found = report(answers)
    assert found.ok
    assert found.answers == tuple(answers)
    assert report([answer("2026-11-23 23:59:59 -00:00", at) for at in (0, 0.9)]).ok, "within a second it may stand still"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"status": 404}, "status 404"),
        ({"error": "the connection was reset"}, "the connection was reset"),
        ({"body": b"\xff"}, "not JSON"),
        ({"body": b"[" * 100_000}, "not JSON"),
        ({"body": b"[]"}, 'no text "time"'),
        ({"body": b'{"time": 3}'}, 'no text "time"'),
        ({"body": b'{"time": "noon"}'}, "'noon' is no time"),
        ({"body": b'{"time": "2026-02-30 00:00:00 -00:00"}'}, "is no time"),
    ],
)
def test_one_wrong_answer(changes: dict[str, object], message: str) -> None:
    found = report(
        [answer("2026-11-23 23:59:59 -00:00", 0), answer("", 1.5, **changes), answer("2026-11-24 00:00:02 -00:00", 3)]
    )
    assert not found.ok
    (failure,) = found.failures
    assert failure.startswith("answer 2: ")
    assert message in failure


@pytest.mark.parametrize(
    ("time", "message"),
    [("2026-11-23 23:59:58 -00:00", "before that of answer 1"), ("2026-11-23 23:59:59 -00:00", "that of answer 1")],
)
def test_time_that_does_not_move(time: str, message: str) -> None:
    found = report([answer("2026-11-23 23:59:59 -00:00", 0), answer(time, 1.2)])
    assert message in found.failures[0]


def test_no_answers_are_no_success() -> None:
    assert not report([]).ok
