"""Connections that come in between one another are answered as each alone, whatever fields and bytes they send.

The server runs on loopback, one for all examples; what is right comes from parsers that have read nothing but the one
connection's bytes.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving import Address, connect, read_all, serving
from squib.guest.grammar import TOKEN, Refusal
from squib.guest.handler import Request, Response
from squib.guest.head import Head, HeadReader
from squib.guest.http1 import Http1
from squib.guest.limits import Limits

LIMITS = Limits()
REAL_NAMES = [
    "Connection", "Proxy-Connection", "Keep-Alive", "Upgrade", "TE", "Trailer", "Transfer-Encoding", "Content-Length", "Expect", "Host",
    "HTTP2-Settings", "Proxy-Authorization", "Content-Encoding", "Cookie", "Via", "Forwarded", "X-Forwarded-For", "Max-Forwards", "Range",
    "Sec-WebSocket-Key", "Content-Type", "Connection2", "X-Connection", "Close", "Alt-Used", "Early-Data", "Priority", "Date",
]  # fmt: skip
VALUES = [
    "close",
    "keep-alive",
    "upgrade",
    "Upgrade, close",
    "chunked",
    "trailers",
    "0",
    "3",
    "100-continue",
    "",
    "x",
    "\u00e9",
]
cased = st.sampled_from(REAL_NAMES).flatmap(lambda name: st.sampled_from([name, name.lower(), name.upper()]))
names = cased | cased | cased | st.text(st.sampled_from(TOKEN.decode()), min_size=1, max_size=12)
connection_options = st.sampled_from(VALUES[:4])
values = (
    connection_options
    | st.sampled_from(VALUES)
    | st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=12)
)
fields = st.lists(st.tuples(names, values), max_size=4)
START = [
    ("GET", "1.1", ""),
    ("GET", "1.0", ""),
    ("HEAD", "1.1", ""),
    ("POST", "1.1", "abc"),
    ("PUT", "1.1", "3\r\nabc\r\n0\r\n\r\n"),
    ("M-SEARCH", "1.2", ""),
]


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    method, version, body = draw(st.sampled_from(START))
    lines = [("Host", "x"), *draw(fields)]
    if body:
        lines.append(("Content-Length", "3") if len(body) == 3 else ("Transfer-Encoding", "chunked"))
    text = "".join(f"{name}: {value}\r\n" for name, value in draw(st.permutations(lines)))
    return f"{method} /{draw(st.integers(0, 2))} HTTP/{version}\r\n{text}\r\n{body}".encode("latin-1")


def told(method: str, target: str, headers: tuple[tuple[str, str], ...]) -> bytes:
    return repr((method, target, headers)).encode()


def alone(stream: bytes) -> list[tuple[int, bytes]]:
    """Status and body of each answer."""
    http = Http1(HeadReader(LIMITS), LIMITS)
    http.feed(stream)
    found: list[tuple[int, bytes]] = []
    while (event := http.next()) is not None or (event := http.end()) is not None:
        if isinstance(event, Head):
            headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in event.fields)
            found.append((200, b"" if event.method == "HEAD" else told(event.method, event.target.decode(), headers)))
        elif isinstance(event, Refusal):
            found.append((event.status, b""))
    return found


def answered(data: bytes, expected: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """What came, cut as it says itself; of a refusal the status counts."""
    found: list[tuple[int, bytes]] = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        status = int(head[9:12])
        if status == 100:
            continue
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        to_head = status == 200 and len(found) < len(expected) and expected[len(found)] == (200, b"")
        found.append((status, data[:length] if status == 200 and not to_head else b""))
        data = data[0 if to_head or (status != 200 and not data) else length :]
    return found


@pytest.fixture(scope="module")
def address() -> Iterator[Address]:
    def answer(request: Request) -> Response:
        return Response(told(request.method, request.target, request.headers))

    with serving(answer=answer) as (found, _):
        yield found


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(streams=st.lists(st.lists(requests(), min_size=1, max_size=4), min_size=2, max_size=4), data=st.data())
def test_connections_in_between_one_another(address: Address, streams: list[list[bytes]], data: st.DataObject) -> None:
    pieces: list[list[bytes]] = []
    for stream in streams:
        whole = b"".join(stream)
        ends = {sum(len(one) for one in stream[: count + 1]) for count in range(len(stream))}
        inner = data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=3))
        cuts = sorted((ends if data.draw(st.booleans()) else set()) | inner | {len(whole)})
        pieces.append([whole[a:b] for a, b in zip([0, *cuts], cuts, strict=False)])
    order = data.draw(st.permutations([number for number, cut in enumerate(pieces) for _ in cut]))
    socks = [connect(address) for _ in pieces]
    try:
        for sock in socks:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        left = [iter(cut) for cut in pieces]
        for number in order:
            try:
                socks[number].sendall(next(left[number]))
            except OSError:
                continue  # it was refused before; the answer stands to be read
        for sock, stream in zip(socks, streams, strict=True):
            with suppress(OSError):  # as above
                sock.shutdown(socket.SHUT_WR)
            expected = alone(b"".join(stream))
            assert answered(read_all(sock), expected) == expected
    finally:
        for sock in socks:
            sock.close()


@pytest.mark.parametrize("name", REAL_NAMES)
def test_no_field_of_one_client_changes_the_answers_of_another(address: Address, name: str) -> None:
    with connect(address) as other:
        for value in VALUES:
            with connect(address) as sock:
                sock.sendall(f"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n{name}: {value}\r\n\r\n".encode("latin-1"))
                sock.shutdown(socket.SHUT_WR)
                read_all(sock)
            other.sendall(b"POST /%d HTTP/1.1\r\nHost: b\r\nContent-Length: 3\r\n\r\nabc" % len(value))
            assert other.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
