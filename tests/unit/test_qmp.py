"""QMP: its messages, and the client against a server that misbehaves."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.host import unix_socket
from squib.vmm.qemu.qmp_client import QmpClient, QmpError
from squib.wire import qmp

GREETING = b'{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "D"}, "capabilities": ["oob"]}}\r\n'
EVENT = b'{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RESUME"}\r\n'


def answer(number: int) -> bytes:
    return b'{"return": {}, "id": %d}\r\n' % number


def test_what_is_sent() -> None:
    assert qmp.encode(qmp.Command("qmp_capabilities", 1)) == b'{"execute":"qmp_capabilities","id":1,"arguments":{}}\n'
    keys = msgspec.json.decode(qmp.encode(qmp.Command("send-key", 2, qmp.CTRL_ALT_DELETE)))["arguments"]["keys"]
    assert keys == [{"type": "qcode", "data": name} for name in ("ctrl", "alt", "delete")]


def test_what_is_read() -> None:
    greeting = qmp.decode(GREETING)
    assert isinstance(greeting, qmp.Greeting)
    assert greeting.body.version.qemu == qmp.VersionTriple(7, 2, 22)
    assert isinstance(qmp.decode(EVENT), qmp.Event)
    assert qmp.decode(b'{"error": {"class": "GenericError", "desc": "no"}, "id": 3}') == qmp.Failure(
        qmp.ErrorBody("GenericError", "no"), 3
    )


@pytest.mark.parametrize(
    "line", [b"", b"[]", b"{}", b'{"x": 1}', b'{"QMP": 1}', b'{"return": {}, "id": "x"}', b'{"event": 1}', b"\xff"]
)
def test_what_is_refused(line: bytes) -> None:
    with pytest.raises(qmp.QmpDecodeError):
        qmp.decode(line)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_refused(line: bytes) -> None:
    with contextlib.suppress(qmp.QmpDecodeError):
        qmp.decode(line)


@contextlib.contextmanager
def server(folder: Path, serve: Callable[[socket.socket], None]) -> Iterator[Path]:
    path = folder / "qmp.sock"

    def run(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            serve(connection)

    with unix_socket.listen(path) as listener:
        thread = threading.Thread(target=run, args=(listener,))
        thread.start()
        yield path
        thread.join(10)
        assert not thread.is_alive()


def until_closed(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def test_a_talk_with_events_in_between_and_cut_anywhere(tmp_path: Path) -> None:
    heard: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        for byte in EVENT.join([GREETING, b""])[: len(GREETING)]:
            connection.sendall(bytes([byte]))
        for number in (1, 2, 3):
            heard.append(connection.recv(4096))
            connection.sendall(EVENT + answer(99) + EVENT + answer(number))

    with server(tmp_path, serve) as path, QmpClient(path, timeout=10) as client:
        assert client.version.major == 7
        client.ctrl_alt_delete(timeout=10)
        client.quit(timeout=10)
    assert [msgspec.json.decode(line)["execute"] for line in heard] == ["qmp_capabilities", "send-key", "quit"]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (b"", "closed the connection"),
        (b"SSH-2.0-x\r\n", "something odd"),
        (EVENT, "does not greet"),
        (GREETING + b'{"error": {"class": "GenericError", "desc": "not now"}, "id": 1}\r\n', "refused .* not now"),
        (GREETING + b'{"error": {"class": "GenericError", "desc": "bad json"}}\r\n', "refused .* bad json"),
        (b"x" * (2 << 20), "without an end"),
    ],
)
def test_a_peer_that_is_not_as_it_must_be(tmp_path: Path, said: bytes, message: str) -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(said)
        if said.startswith(GREETING):
            connection.recv(4096)

    with server(tmp_path, serve) as path, pytest.raises(QmpError, match=message):
        QmpClient(path, timeout=10)


@pytest.mark.parametrize("said", [b"", GREETING[:20], GREETING, GREETING + EVENT])
def test_a_peer_that_falls_silent(tmp_path: Path, said: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(said)
        until_closed(connection)

    with server(tmp_path, serve) as path, pytest.raises(QmpError, match="in time"):
        QmpClient(path, timeout=0.05)


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(QmpError, match="cannot be reached"):
        QmpClient(tmp_path / "qmp.sock", timeout=1)
