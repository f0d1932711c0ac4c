"""Whatever the bytes, the parser gives events and raises nothing; however they are cut, the events are the same."""

from __future__ import annotations

import ipaddress
import sys
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from squib.guest.grammar import Refusal, field_line, is_host
from squib.guest.head import Head, HeadReader
from squib.guest.http1 import Http1
from squib.guest.limits import Limits

LIMITS = Limits()

WORDS = [
    b"GET", b"HEAD", b"POST", b" ", b"/", b"*", b"http://a/", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"\r\n", b"\r\n", b"\r\n\r\n",
    b"\r", b"\n", b"\0", b"\xff", b"Host: x\r\n", b"Content-Length: 3\r\n", b"Content-Length:", b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: ,\tchunked\t\r\n", b"Transfer-Encoding: gzip\r\n", b"Connection: close\r\n", b"Upgrade: h2c\r\nConnection: upgrade\r\n", b"Expect: 100-continue\r\n", b": ", b"A", b"\t", b"0\r\n\r\n",
    b"3\r\nabc\r\n", b"3;a=b\r\nabc\r\n", b"abc", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST / HTTP/1.1\r\nHost: x\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n",
]  # fmt: skip
streams = st.lists(st.sampled_from(WORDS), max_size=14).map(b"".join)


def events(pieces: list[bytes]) -> list[object]:
    http = Http1(HeadReader(LIMITS), LIMITS)
    found: list[object] = []
    for piece in pieces:
        http.feed(piece)
        while (event := http.next()) is not None:
            if isinstance(event, Head):
                found.append((event.method, event.target, event.keep_alive, tuple(event.fields)))
            elif isinstance(event, Refusal):
                found.append((event.status, event.bodiless))
    return found


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_any_bytes(pieces: list[bytes]) -> None:
    events(pieces)


@settings(max_examples=400)
@given(streams, st.data())
def test_cuts_do_not_matter(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole = events([stream])
    assert events(pieces) == whole
    assert events([stream[at : at + 1] for at in range(len(stream))]) == whole


@settings(max_examples=400)
@given(
    st.lists(
        st.lists(st.sampled_from([b"A", b"b-1", b":", b" ", b"\t", b"\x0b", b"\x7f", b"\xe9", b'"', b"("]), max_size=6),
        max_size=3,
    )
)
def test_the_two_readers_of_header_lines_agree(parts: list[list[bytes]]) -> None:
    """The fast way, by llhttp, and the slow one, by the grammar, take the same lines and read them alike."""
    lines = [b"".join(part) for part in parts if part]
    expected: object
    try:
        expected = [(b"host", b"x"), *(field_line(line) for line in lines)]
    except Refusal as refusal:
        expected = refusal.status
    try:
        found: object = HeadReader(LIMITS).read(b"\r\n".join([b"GET / HTTP/1.1", b"Host: x", *lines, b"", b""])).fields
    except Refusal as refusal:
        found = refusal.status
    assert found == expected


def test_what_arrives_in_pieces_is_not_kept_without_bound() -> None:
    http = Http1(HeadReader(LIMITS), LIMITS)
    http.feed(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(1000):
        http.feed(b"100\r\n" + b"x" * 256 + b"\r\n")
        assert http.next() is None
        assert len(http._data) - http._at < 10
    assert sys.getsizeof(http._data) < 1000


GROUPS = [":", ":", ":", "::", "0", "1", "ff", "2001", "12345", "g", ".", "1.2.3.4", "255", "256", "01", ".0"]


@settings(max_examples=1000)
@given(st.lists(st.sampled_from(GROUPS), max_size=18).map("".join))
def test_an_ipv6_host_is_what_ipaddress_takes(text: str) -> None:
    try:
        ipaddress.IPv6Address(text)
        valid = True
    except ValueError:
        valid = False
    assert is_host(f"[{text}]".encode()) == is_host(f"[{text}]:80".encode()) == valid


def test_nothing_here_does_io() -> None:
    folder = Path(sys.modules["squib.guest.http1"].__file__ or "").parent
    for name in ("http1", "head", "body", "grammar"):
        text = (folder / f"{name}.py").read_text()
        assert not any(word in text for word in ("import os", "socket", "import time", "open("))


LINES = [b"GET / HTTP/1.1", b"HEAD /a?b HTTP/1.1", b"GET / HTTP/1.0", b"GET / HTTP/1.2", b"GET / HTTP/2.0", b"GET /", b"", b"BREW / HTTP/1.1",
         b"OPTIONS * HTTP/1.1", b"GET * HTTP/1.1", b"CONNECT a:1 HTTP/1.1", b"GET http://a/ HTTP/1.1", b"GET /" + b"a" * 9000 + b" HTTP/1.1",
         b"GET /\xe9 HTTP/1.1", b"GET /\0 HTTP/1.1", b"GET /\n HTTP/1.1", b"GET /\r HTTP/1.1", b"GET  / HTTP/1.1", b"PRI * HTTP/2.0"]  # fmt: skip
FIELD_LINES = [b"Host: x", b"Host: x ", b"host:y", b"X-Host: x", b"Host: ?", b"Connection: keep-alive", b"connection: Keep-Alive",
               b"Connection: close", b"Connection: upgrade", b"Upgrade: h2c", b"Content-Length: 3", b"Content-Type: a", b"Expect: 100-continue",
               b"Transfer-Encoding: chunked", b"A: b", b" folded", b"A : b", b"A", b"A:\x01", b"A: b\rHost: z", b"A: b\nHost: z",
               b"A: c", b"A: \xe9\t", b"A:", b"a: b", b"Host: z", b"Connection: x", b"A: " + b"b" * 2000]  # fmt: skip


@settings(max_examples=1000)
@given(st.lists(st.tuples(st.sampled_from(LINES), st.lists(st.sampled_from(FIELD_LINES), max_size=4)), min_size=1, max_size=8))
def test_what_a_reader_has_read_changes_nothing(heads: list[tuple[bytes, list[bytes]]]) -> None:
    def read(reader: HeadReader, head: bytes) -> object:
        try:
            found = reader.read(head)
        except Refusal as refusal:
            return refusal.status, str(refusal)
        return found.method, found.target, found.minor, found.length, found.keep_alive, found.awaits_continue, found.fields

    used = HeadReader(LIMITS)
    for line, fields in [*heads, *((line, fields) for line, _ in heads for _, fields in heads)]:
        head = b"\r\n".join([line, *fields, b"", b""])
        assert read(used, head) == read(HeadReader(LIMITS), head)
