"""What RFC 9110 and RFC 9112 say of single requests, byte by byte; the parser's own leniencies do not count."""

from __future__ import annotations

import pytest

from squib.guest.grammar import METHODS, TARGET, Refusal
from squib.guest.head import Head, HeadReader
from squib.guest.http1 import CLOSED, IDLE, IN_BODY, IN_HEAD, Continue, Http1
from squib.guest.limits import Limits

LIMITS = Limits()
OK = "GET / HTTP/1.1\r\nHost: x\r\n"
POST = "POST / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + "Transfer-Encoding: chunked\r\n\r\n"


def outcome(*pieces: bytes, limits: Limits = LIMITS) -> list[object]:
    """Targets of whole requests, status of a refusal, 100 where the client waits for it."""
    http = Http1(HeadReader(limits), limits)
    found: list[object] = []
    for piece in pieces:
        http.feed(piece)
        while (event := http.next()) is not None:
            if isinstance(event, Head):
                found.append(event.target.decode())
            else:
                found.append(event.status if isinstance(event, Refusal) else 100)
    return found


def bytewise(data: bytes) -> list[object]:
    return [item for item in outcome(*(data[at : at + 1] for at in range(len(data)))) if item != 100]


NO_HOSTS = (
    "[:::::]", "[1:2:3:4:5:6:7:8:9]", "[1:2:3:4:5:6:7]", "[::ffff:999.2.3.4]", "[::1.2.3]", "[::1.2.3.4.5]", "[::01.2.3.4]", "[1.2.3.4::]",
    "[1:2:3:4:5:6:7:1.2.3.4]", "[1::2::3]", "[12345::]", "[g::]", "[:1::]", "[1:]", "[::1:]", "[1:2:3:4:5:6:7::8]", "[::1%25eth0]", "[]",
    "[1.2.3.4]", "[v1.]", "[v.a]", "[vg.a]", "[v1.a/b]", "[::1]80", "[::1]:8a", "[::1]]", "[[::1]]", "[::1", "::1",
)  # fmt: skip

GOOD = {
    "plain": OK + "\r\n",
    "empty lines before it": "\r\n\r\n" + OK + "\r\n",
    "empty Host": "GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "Host with port": "GET / HTTP/1.1\r\nHost: a.b:80\r\n\r\n",
    "Host with empty port": "GET / HTTP/1.1\r\nHost: a:\r\n\r\n",
    "IPv6 Host": "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    "higher minor version": "GET / HTTP/1.9\r\nHost: x\r\n\r\n",
    "HTTP/1.0 without Host": "GET / HTTP/1.0\r\n\r\n",
    "absolute-form": "GET http://a:80/ HTTP/1.1\r\nHost: b\r\n\r\n",
    "asterisk-form": "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "no space after the colon": "GET / HTTP/1.1\r\nHost:x\r\nA:b\r\n\r\n",
    "empty value": OK + "A:\r\n\r\n",
    "obs-text": OK + "A: \u00e9\r\n\r\n",
    "tab in a value": OK + "A: b\tc\r\n\r\n",
    "odd token name": OK + "!#$%&'*+-.^_`|~1: x\r\n\r\n",
    "upgrade": OK + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
    "length 0": POST + "Content-Length: 0\r\n\r\n",
    "length": POST + "Content-Length: 3\r\n\r\nabc",
    "leading zeros": POST + "Content-Length: 0003\r\n\r\nabc",
    "GET with a body": OK + "Content-Length: 3\r\n\r\nabc",
    "HEAD with a body": "HEAD / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    "upgrade with a body": OK + "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\nGET /",
    "chunked": CHUNKED + "3\r\nabc\r\n0\r\n\r\n",
    "Chunked": POST + "TRANSFER-ENCODING: ChUnKeD\r\n\r\n0\r\n\r\n",
    "chunk of ten": CHUNKED + "A\r\n0123456789\r\n0\r\n\r\n",
    "zeros before a size": CHUNKED + "003\r\nabc\r\n000\r\n\r\n",
    "chunk extensions": CHUNKED + '3;a;b=c ; d="e;\\"\r"'.replace("\r", "f") + "\r\nabc\r\n0;z\r\n\r\n",
    "trailers": CHUNKED + "0\r\nHost: evil\r\nContent-Length: 99\r\nA: b\r\n\r\n",
    "expectation in HTTP/1.0": "GET / HTTP/1.0\r\nExpect: tea\r\n\r\n",
    "100-continue with its body": POST + "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\na",
    "what browsers leave unescaped": "GET /?a=[{|}]^`\\ HTTP/1.1\r\nHost: x\r\n\r\n",
    "backslashes": "GET /a\\b?x=\\b HTTP/1.1\r\nHost: x\r\n\r\n",
    "every character of a target": "GET /" + TARGET.decode() + " HTTP/1.1\r\nHost: x\r\n\r\n",
    "Host of RFC 3986's future": "GET / HTTP/1.1\r\nHost: [v1F.a:b~!]:80\r\n\r\n",
    "Host that is no IPv4 address, but a name": "GET / HTTP/1.1\r\nHost: 999.2.3.4\r\n\r\n",
    "IPv6 in an absolute target": "GET http://[2001:db8::1]:80/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "chunked, then a tab": POST + "Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n",
    "chunked between white space": POST + "Transfer-Encoding:\t chunked \t\r\n\r\n0\r\n\r\n",
    "chunked among empty elements": POST + "Transfer-Encoding: , ,\tchunked ,,\r\n\r\n0\r\n\r\n",
    "chunked in the second of two lines": POST + "Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "an expectation among empty elements": POST + "Expect: , 100-continue,\r\nContent-Length: 1\r\n\r\na",
    "no expectation": OK + "Expect: ,\r\n\r\n",
}  # fmt: skip

BAD = {
    "bare LF": (400, "GET / HTTP/1.1\nHost: x\n\n"),
    "bare LF in headers": (400, OK + "A: b\nC: d\r\n\r\n"),
    "bare LF at the end": (400, OK + "\n"),
    "LF first": (400, "\n" + OK + "\r\n"),
    "bare CR": (400, OK + "A: b\rC: d\r\n\r\n"),
    "CR CR LF": (400, OK + "A: b\r\r\n\r\n"),
    "CR first": (400, "\r" + OK + "\r\n"),
    "obs-fold": (400, OK + "A: b\r\n c\r\n\r\n"),
    "folded by a tab": (400, OK + "A: b\r\n\tc\r\n\r\n"),
    "white space before the first header": (400, "GET / HTTP/1.1\r\n Host: x\r\n\r\n"),
    "space before the colon": (400, OK + "A : b\r\n\r\n"),
    "tab before the colon": (400, OK + "A\t: b\r\n\r\n"),
    "no name": (400, OK + ": b\r\n\r\n"),
    "no colon": (400, OK + "A\r\n\r\n"),
    "space in a name": (400, OK + "A b: c\r\n\r\n"),
    "NUL in a value": (400, OK + "A: b\0c\r\n\r\n"),
    "NUL in a name": (400, OK + "A\0: b\r\n\r\n"),
    "VT in a value": (400, OK + "A: \x0bb\r\n\r\n"),
    "DEL in a value": (400, OK + "A: \x7f\r\n\r\n"),
    "8-bit name": (400, OK + "\u00e9: b\r\n\r\n"),
    "paren in a name": (400, OK + "A(: b\r\n\r\n"),
    "no method": (400, " / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "method that is no token": (400, "G(T / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "unknown method": (501, "BREW / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "lower-case method": (501, "get / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "two spaces": (400, "GET  / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "space at the end": (400, "GET / HTTP/1.1 \r\nHost: x\r\n\r\n"),
    "tab for a space": (400, "GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    "space in the target": (400, "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n"),
    "NUL in the target": (400, "GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n"),
    "8-bit target": (400, "GET /\u00e9 HTTP/1.1\r\nHost: x\r\n\r\n"),
    "fragment": (400, "GET /#a HTTP/1.1\r\nHost: x\r\n\r\n"),
    "quote in the target": (400, 'GET /" HTTP/1.1\r\nHost: x\r\n\r\n'),
    "no form of a target": (400, "GET a HTTP/1.1\r\nHost: x\r\n\r\n"),
    "asterisk for GET": (400, "GET * HTTP/1.1\r\nHost: x\r\n\r\n"),
    "absolute-form without host": (400, "GET http:///a HTTP/1.1\r\nHost: x\r\n\r\n"),
    "absolute-form with user": (400, "GET http://u@h/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    "absolute-form without Host": (400, "GET http://a/ HTTP/1.1\r\n\r\n"),
    "CONNECT": (405, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"),
    "CONNECT without a port": (405, "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n"),
    "HTTP/0.9 as it was": (400, "GET /\r\n"),
    "HTTP/0.9": (505, "GET / HTTP/0.9\r\nHost: x\r\n\r\n"),
    "HTTP/2.0": (505, "GET / HTTP/2.0\r\nHost: x\r\n\r\n"),
    "preface of HTTP/2": (505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "lower-case version": (400, "GET / http/1.1\r\nHost: x\r\n\r\n"),
    "HTTP/1.10": (400, "GET / HTTP/1.10\r\nHost: x\r\n\r\n"),
    "HTTP/1": (400, "GET / HTTP/1\r\nHost: x\r\n\r\n"),
    "RTSP": (400, "GET / RTSP/1.0\r\nHost: x\r\n\r\n"),
    "TLS": (400, "\x16\x03\x01\x02"),
    "no Host": (400, "GET / HTTP/1.1\r\n\r\n"),
    "two Hosts": (400, OK + "Host: x\r\n\r\n"),
    "two Hosts in HTTP/1.0": (400, "GET / HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n"),
    "slash in Host": (400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    "space in Host": (400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    "user in Host": (400, "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n"),
    "word for a port": (400, "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"),
    "open bracket": (400, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
    "bad escape in Host": (400, "GET / HTTP/1.1\r\nHost: a%zz\r\n\r\n"),
    **{f"Host: {host}": (400, f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n") for host in NO_HOSTS},
    **{f"http://{host}/": (400, f"GET http://{host}/ HTTP/1.1\r\nHost: x\r\n\r\n") for host in NO_HOSTS},
    "plus in a length": (400, POST + "Content-Length: +3\r\n\r\nabc"),
    "minus in a length": (400, POST + "Content-Length: -3\r\n\r\nabc"),
    "hexadecimal length": (400, POST + "Content-Length: 0x3\r\n\r\nabc"),
    "empty length": (400, POST + "Content-Length:\r\n\r\n"),
    "word for a length": (400, POST + "Content-Length: three\r\n\r\n"),
    "space in a length": (400, POST + "Content-Length: 1 2\r\n\r\n"),
    "list of lengths": (400, POST + "Content-Length: 5, 5\r\n\r\nhello"),
    "two lengths": (400, POST + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
    "two equal lengths": (400, POST + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
    "length over the limit": (413, POST + "Content-Length: 1048577\r\n\r\n"),
    "length that overflows": (413, POST + "Content-Length: 18446744073709551617\r\n\r\n"),
    "length of many digits": (413, POST + "Content-Length: " + "9" * 6000 + "\r\n\r\n"),
    "length and chunked": (400, POST + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "chunked and length": (400, POST + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"),
    "chunked in HTTP/1.0": (400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "gzip": (400, POST + "Transfer-Encoding: gzip\r\n\r\n"),
    "gzip, chunked": (501, POST + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "chunked twice": (501, POST + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    "chunked in two lines": (501, POST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "identity": (400, POST + "Transfer-Encoding: identity\r\n\r\n"),
    "xchunked": (400, POST + "Transfer-Encoding: xchunked\r\n\r\n"),
    "chunked, gzip": (400, POST + "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    "chunked, then gzip in a line of its own": (400, POST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n"),
    "chunked in a parameter": (400, POST + 'Transfer-Encoding: a;b=", chunked"\r\n\r\n'),
    "chunked in quotes": (400, POST + 'Transfer-Encoding: "chunked"\r\n\r\n'),
    "chunked with a parameter": (400, POST + "Transfer-Encoding: chunked;q=1\r\n\r\n"),
    "gzip of a parameter, chunked": (501, POST + 'Transfer-Encoding: gzip;a="b,c" ; d=e ,\tchunked\r\n\r\n'),
    "a coding that is no token, chunked": (400, POST + "Transfer-Encoding: g zip, chunked\r\n\r\n"),
    "a coding with half a parameter, chunked": (400, POST + "Transfer-Encoding: gzip;, chunked\r\n\r\n"),
    "chunked, chunked in lines apart by an empty one": (501, POST + "Transfer-Encoding: chunked,\r\nTransfer-Encoding: ,chunked\r\n\r\n"),
    "nothing but commas as coding": (400, POST + "Transfer-Encoding: , ,\r\n\r\n"),
    "chunked with VT": (400, POST + "Transfer-Encoding: \x0bchunked\r\n\r\n"),
    "empty coding": (400, POST + "Transfer-Encoding:\r\n\r\n"),
    "unknown expectation": (417, POST + "Expect: tea\r\nContent-Length: 1\r\n\r\n"),
    "chunk size with a sign": (400, CHUNKED + "+3\r\nabc\r\n0\r\n\r\n"),
    "negative chunk": (400, CHUNKED + "-3\r\nabc\r\n0\r\n\r\n"),
    "0x chunk": (400, CHUNKED + "0x3\r\nabc\r\n0\r\n\r\n"),
    "no chunk size": (400, CHUNKED + "\r\nabc\r\n0\r\n\r\n"),
    "chunk that overflows": (413, CHUNKED + "10000000000000000\r\nabc"),
    "chunk over the limit": (413, CHUNKED + "100001\r\n"),
    "space before a chunk size": (400, CHUNKED + " 3\r\nabc\r\n0\r\n\r\n"),
    "space after a chunk size": (400, CHUNKED + "3 \r\nabc\r\n0\r\n\r\n"),
    "bare LF in a chunk line": (400, CHUNKED + "3\nabc\r\n0\r\n\r\n"),
    "bare LF after a chunk": (400, CHUNKED + "3\r\nabc\n0\r\n\r\n"),
    "chunk longer than said": (400, CHUNKED + "3\r\nabcd\r\n0\r\n\r\n"),
    "chunk shorter than said": (400, CHUNKED + "5\r\nabc\r\n0\r\n\r\n"),
    "empty chunk extension": (400, CHUNKED + "3;\r\nabc\r\n0\r\n\r\n"),
    "chunk extension with NUL": (400, CHUNKED + "3;a=\0\r\nabc\r\n0\r\n\r\n"),
    "open quote in an extension": (400, CHUNKED + '3;a="b\r\nabc\r\n0\r\n\r\n'),
    "long chunk extension": (400, CHUNKED + "3;a=" + "b" * 5000 + "\r\nabc\r\n0\r\n\r\n"),
    "long chunk extensions": (400, CHUNKED + ("1;a=" + "b" * 3000 + "\r\nx\r\n") * 6 + "0\r\n\r\n"),
    "bad trailer": (400, CHUNKED + "0\r\nA : b\r\n\r\n"),
    "folded trailer": (400, CHUNKED + "0\r\nA: b\r\n c\r\n\r\n"),
    "long trailers": (431, CHUNKED + "0\r\n" + "A: bcdefgh\r\n" * 900 + "\r\n"),
    "long request line": (414, "GET /" + "a" * 9000 + " HTTP/1.1\r\nHost: x\r\n\r\n"),
    "long method": (501, "A" * 9000 + " / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "long method and no end": (501, "GETT" + "A" * 9000),
    "long method that is no token": (400, "G(T" + "A" * 9000 + " / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "long target of an unknown method": (501, "BREW /" + "a" * 9000 + " HTTP/1.1\r\nHost: x\r\n\r\n"),
    "long header": (431, OK + "A: " + "b" * 33000 + "\r\n\r\n"),
    "many headers": (431, OK + "A: b\r\n" * 100 + "\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("request_text", GOOD.values(), ids=GOOD.keys())
def test_good_requests_with_the_next_one_behind(request_text: str) -> None:
    data = request_text.encode("latin-1")
    target = data.split(b" ")[1].decode("latin-1")
    keeps = b"HTTP/1.0" not in data
    following = data + b"GET /next HTTP/1.1\r\nHost: y\r\n\r\n"
    expected = [target, "/next"] if keeps else [target]
    assert outcome(following) == expected
    assert bytewise(following) == expected


@pytest.mark.parametrize(("status", "request_text"), BAD.values(), ids=BAD.keys())
def test_bad_requests_behind_good_ones(status: int, request_text: str) -> None:
    before = b"GET /1 HTTP/1.1\r\nHost: y\r\n\r\nGET /2 HTTP/1.1\r\nHost: y\r\n\r\n"
    data = before + request_text.encode("latin-1")
    assert outcome(data + b"GET /3 HTTP/1.1\r\nHost: y\r\n\r\n") == ["/1", "/2", status]
    assert bytewise(data) == ["/1", "/2", status]


@pytest.mark.parametrize("name", ["plain", "chunk extensions", "trailers", "length", "upgrade with a body"])
def test_every_cut_in_two(name: str) -> None:
    data = GOOD[name].encode("latin-1")
    for at in range(len(data) + 1):
        assert outcome(data[:at], data[at:]) == ["/"]


@pytest.mark.parametrize("method", [name for name in METHODS if name != b"CONNECT"])
def test_every_method(method: bytes) -> None:
    assert outcome(method + b" / HTTP/1.1\r\nHost: x\r\n\r\n") == ["/"]


@pytest.mark.parametrize(
    ("version", "lines", "keeps"),
    [
        ("1.1", "", True),
        ("1.1", "Connection: close\r\n", False),
        ("1.1", "Connection: CLOSE\r\n", False),
        ("1.1", "Connection: a, Close ,b\r\n", False),
        ("1.1", "Connection: a\r\nConnection: close\r\n", False),
        ("1.1", "Connection: closed\r\n", True),
        ("1.0", "", False),
        ("1.0", "Connection: Keep-Alive\r\n", True),
        ("1.0", "Connection: keep-alive, close\r\n", False),
    ],
)
def test_whether_the_connection_stays(version: str, lines: str, keeps: bool) -> None:
    data = f"GET / HTTP/{version}\r\nHost: x\r\n{lines}\r\n".encode()
    assert outcome(data * 2) == ["/"] * (2 if keeps else 1)


def test_limits_are_exact() -> None:
    line = b"GET /" + b"a" * (8192 - 14) + b" HTTP/1.1"
    assert len(line) == 8192
    assert len(outcome(line + b"\r\nHost: x\r\n\r\n")) == 1
    assert outcome(line.replace(b"/", b"/a") + b"\r\nHost: x\r\n\r\n") == [414]
    field = b"Host: x\r\nA: " + b"b" * (32768 - 14) + b"\r\n"
    assert len(field) == 32768
    assert outcome(b"GET / HTTP/1.1\r\n" + field + b"\r\n") == ["/"]
    assert outcome(b"GET / HTTP/1.1\r\n" + field.replace(b"A", b"AA") + b"\r\n") == [431]
    assert outcome(OK.encode() + b"A: b\r\n" * 99 + b"\r\n") == ["/"]
    body = POST.encode() + b"Content-Length: 1048576\r\n\r\n" + b"x" * 1048576
    assert outcome(body) == ["/"]


def test_continue_is_for_those_who_wait() -> None:
    head = (POST + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n").encode()
    assert outcome(head, b"ab") == [100, "/"]
    assert outcome(head + b"a", b"b") == ["/"]
    assert outcome((POST + "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n").encode()) == ["/"]
    assert outcome((POST + "Expect: 100-continue\r\nContent-Length: 2000000\r\n\r\n").encode()) == [413]


def test_a_head_is_refused_without_a_body() -> None:
    http = Http1(HeadReader(LIMITS), LIMITS)
    http.feed(b"HEAD / HTTP/1.1\r\n\r\n")
    event = http.next()
    assert isinstance(event, Refusal)
    assert event.bodiless


def test_phases_and_what_the_clock_says_in_each() -> None:
    http = Http1(HeadReader(LIMITS), LIMITS)
    assert http.phase == IDLE
    http.feed(b"POST / HTTP/1.1\r\n")
    assert http.next() is None
    assert http.phase == IN_HEAD
    http.feed(b"Host: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert isinstance(http.next(), Continue)
    assert http.phase == IN_BODY
    late = http.time_out()
    assert late is not None
    assert late.status == 408
    assert http.phase == CLOSED
    assert Http1(HeadReader(LIMITS), LIMITS).time_out() is None


@pytest.mark.parametrize("behind", [b"\r", b"\r\n", b"\r\n\r", b"\r\n\r\n"])
def test_an_empty_line_behind_a_request_begins_no_other(behind: bytes) -> None:
    http = Http1(HeadReader(LIMITS), LIMITS)
    http.feed(OK.encode() + b"\r\n" + behind)
    assert isinstance(http.next(), Head)
    assert http.next() is None
    assert (http.phase, http.untouched) == (IDLE, False)
    assert http.time_out() is None


def test_an_end_in_the_middle() -> None:
    http = Http1(HeadReader(LIMITS), LIMITS)
    assert http.end() is None
    http = Http1(HeadReader(LIMITS), LIMITS)
    http.feed(b"GET / HT")
    http.next()
    cut = http.end()
    assert cut is not None
    assert cut.status == 400


BEFORE = {name: text for name, (_, text) in BAD.items()} | GOOD | {
    "HTTP/1.0 with a bad Host": "GET / HTTP/1.0\r\nHost: a b\r\n\r\n",
    "HTTP/1.0 kept": "GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n",
    "a proxy's connection that closes": OK + "X: 1\r\nProxy-Connection: close\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE.keys())
def test_no_client_changes_what_another_one_gets(before: str) -> None:
    """Nor would it if both had the same reader: it remembers what lines mean, never what a message was."""
    for after in (OK + "\r\n", POST + "Content-Length: 3\r\n\r\nabc"):
        reader = HeadReader(LIMITS)
        first, second = Http1(reader, LIMITS), Http1(reader, LIMITS)
        first.feed(before.encode("latin-1"))
        first.next()
        second.feed(after.encode("latin-1"))
        assert isinstance(second.next(), Head)
