"""Raw bytes against the real process with its real limits: what RFC 9110 and RFC 9112 say, one case a sentence.

Each case is sent three ways: in one piece, cut small, and with the client's side closed behind it. `expected` lists the
outcomes that are right, apart by `|`: the statuses in order, and `!` where the server closes after the last. Whatever comes
must also be a well-formed answer: `check` holds its framing, date, type and connection options.
"""

from __future__ import annotations

import re
import select
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import pytest

from program import free_port
from serving import connect, launch

WAIT_S = 10
SMALL = 4096
SENTINEL = b"GET /sentinel HTTP/1.1\r\nhost: s\r\nconnection: close\r\n\r\n"
MIB = 1024 * 1024
H = b"Host: x\r\n"
GET = b"GET / HTTP/1.1\r\n" + H + b"\r\n"
LAST = b"GET /last HTTP/1.1\r\n" + H + b"Connection: close\r\n\r\n"


def get(*lines: bytes, target: bytes = b"/", method: bytes = b"GET", version: bytes = b"HTTP/1.1") -> bytes:
    return b" ".join((method, target, version)) + b"\r\n" + H + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def post(*lines: bytes, body: bytes = b"") -> bytes:
    return get(*lines, method=b"POST") + body


def chunked(body: bytes, *lines: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", *lines, body=body)


def line_of(length: int) -> bytes:
    """A request whose request line has `length` bytes without its CRLF."""
    return get(target=b"/" + b"a" * (length - len(b"GET / HTTP/1.1")))


def header_of(length: int) -> bytes:
    """A request whose header lines have `length` bytes with their CRLFs."""
    return get(b"X: " + b"a" * (length - len(H) - len(b"X: \r\n")))


ERROR = "400!"
CASES: list[tuple[str, bytes, str]] = [
    # Methods (RFC 9110 §9)
    ("GET", GET, "200"),
    ("HEAD", get(method=b"HEAD"), "200"),
    ("HEAD then GET", get(method=b"HEAD") + GET, "200 200"),
    ("POST without a body", post(), "200"),
    ("POST", post(b"Content-Length: 5", body=b"hello"), "200"),
    ("POST then GET", post(b"Content-Length: 5", body=b"hello") + GET, "200 200"),
    ("a body that looks like a request", post(b"Content-Length: %d" % len(GET), body=GET), "200"),
    ("GET with a body", get(b"Content-Length: 5") + b"hello" + GET, "200 200"),
    ("HEAD with a body", get(b"Content-Length: 5", method=b"HEAD") + b"hello" + GET, "200 200"),
    ("DELETE with chunks", get(b"Transfer-Encoding: chunked", method=b"DELETE") + b"1\r\na\r\n0\r\n\r\n" + GET, "200 200"),
    ("TRACE", get(method=b"TRACE"), "200"),
    ("OPTIONS *", get(method=b"OPTIONS", target=b"*"), "200"),
    ("OPTIONS /", get(method=b"OPTIONS"), "200"),
    ("QUERY", get(method=b"QUERY"), "200"),
    ("M-SEARCH", get(method=b"M-SEARCH"), "200"),
    ("PROPFIND", get(method=b"PROPFIND"), "200"),
    ("GET *", get(target=b"*"), ERROR),
    ("CONNECT", get(method=b"CONNECT", target=b"x.example:443"), "405!"),
    ("CONNECT then GET", get(method=b"CONNECT", target=b"x.example:443") + GET, "405!"),
    ("CONNECT in origin-form", get(method=b"CONNECT"), "405!"),
    ("CONNECT without a port", get(method=b"CONNECT", target=b"x.example"), "405!"),
    ("CONNECT in absolute-form", get(method=b"CONNECT", target=b"http://x/"), "405!"),
    ("unknown method", get(method=b"FOO") + GET, "501!"),
    ("unknown method of a token's characters", get(method=b"X!#$%&'*+-.^_`|~9"), "501!"),
    ("lower-case method", get(method=b"get"), "501!"),
    ("mixed-case method", get(method=b"Get"), "501!"),
    ("RTSP's method in HTTP", get(method=b"DESCRIBE"), "501!"),
    ("method that is no token", get(method=b"G(ET"), ERROR),
    ("method with a high byte", get(method=b"G\xc9T"), ERROR),
    ("empty method", b" / HTTP/1.1\r\n" + H + b"\r\n", ERROR),
    # Request line (RFC 9112 §3)
    ("two spaces", b"GET  / HTTP/1.1\r\n" + H + b"\r\n", ERROR),
    ("two spaces before the version", b"GET /  HTTP/1.1\r\n" + H + b"\r\n", ERROR),
    ("a space at the end", b"GET / HTTP/1.1 \r\n" + H + b"\r\n", ERROR),
    ("a space at the start", b" GET / HTTP/1.1\r\n" + H + b"\r\n", ERROR),
    ("tabs", b"GET\t/\tHTTP/1.1\r\n" + H + b"\r\n", ERROR),
    ("a space in the target", b"GET /a b HTTP/1.1\r\n" + H + b"\r\n", ERROR),
    ("no target", b"GET HTTP/1.1\r\n" + H + b"\r\n", ERROR),
    ("no version", b"GET /\r\n" + H + b"\r\n", ERROR),
    ("HTTP/0.9", b"GET /\r\n\r\n", ERROR),
    ("HTTP/0.9 by its name", get(version=b"HTTP/0.9"), "400!|505!"),
    ("HTTP/1.2", get(version=b"HTTP/1.2") + GET, "200 200"),
    ("HTTP/1.9 closing", get(b"Connection: close", version=b"HTTP/1.9") + GET, "200!"),
    ("HTTP/2.0", get(version=b"HTTP/2.0"), "505!"),
    ("HTTP/2", get(version=b"HTTP/2"), "400!|505!"),
    ("HTTP/9.9", get(version=b"HTTP/9.9"), "505!"),
    ("HTTP/1.10", get(version=b"HTTP/1.10"), "400!|505!"),
    ("HTTP/01.1", get(version=b"HTTP/01.1"), "400!|505!"),
    ("HTTP/1,1", get(version=b"HTTP/1,1"), ERROR),
    ("HTTP/1.", get(version=b"HTTP/1."), ERROR),
    ("HTTP/1", get(version=b"HTTP/1"), "400!|505!"),
    ("HTTP/+1.1", get(version=b"HTTP/+1.1"), ERROR),
    ("http/1.1", get(version=b"http/1.1"), "400!|505!"),
    ("RTSP", get(version=b"RTSP/1.0"), "400!|505!"),
    ("ICE", get(version=b"ICE/1.0", method=b"SOURCE"), "400!|505!"),
    ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", "400!|505!"),
    ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)), ERROR),
    ("a bad version, before the fields", b"GET / HTTP/2.0\r\n", "505!"),
    ("an unknown method, before the fields", b"NO / HTTP/1.1\r\n", "501!"),
    ("a bare LF, before the fields", b"GET / HTTP/1.1\n", ERROR),
    ("a bad field, before the others", b"GET / HTTP/1.1\r\nX Y: a\r\n", ERROR),
    ("the start of a fold", b"GET / HTTP/1.1\r\nX: a\r\n ", ERROR),
    ("only garbage", b"\0\1\2\3", ERROR),
    ("a banner of SSH", b"SSH-2.0-OpenSSH_9.2\r\n", ERROR),
    ("empty lines before it", b"\r\n\r\n" + GET, "200"),
    ("empty line behind a body", post(b"Content-Length: 1", body=b"a") + b"\r\n" + GET, "200 200"),
    ("LF before it", b"\n" + GET, ERROR),
    ("CR before it", b"\r" + GET, ERROR),
    ("8192 bytes of request line", line_of(8192), "200"),
    ("8193 bytes of request line", line_of(8193), "414!"),
    ("100 KiB of request line", line_of(100 * 1024), "414!"),
    ("a request line with no end", b"GET /" + b"a" * 9000, "414!"),
    # Targets (RFC 9112 §3.2)
    ("query", get(target=b"/a/b?c=d&e=%20"), "200"),
    ("two slashes", get(target=b"//a//b"), "200"),
    ("dots", get(target=b"/../../etc/passwd"), "200"),
    ("absolute-form", get(target=b"http://x/a?b") + GET, "200 200"),
    ("absolute-form with another host", get(target=b"http://y:8080/"), "200"),
    ("absolute-form without a path", get(target=b"http://x"), "200"),
    ("absolute-form with a query alone", get(target=b"http://x?a"), "200"),
    ("absolute-form in capitals", get(target=b"HTTP://X/"), "200"),
    ("absolute-form without Host", b"GET http://x/ HTTP/1.1\r\n\r\n", ERROR),
    ("absolute-form without a host", get(target=b"http:///a"), ERROR),
    ("no slash", get(target=b"a"), ERROR),
    ("control character in the target", get(target=b"/\x01"), ERROR),
    ("NUL in the target", get(target=b"/\0"), ERROR),
    ("DEL in the target", get(target=b"/\x7f"), ERROR),
    ("high bytes in the target", get(target=b"/\xc3\xa9"), "200|400!"),
    ("fragment", get(target=b"/#a"), "200|400!"),
    # Host (RFC 9112 §3.2)
    ("no Host", b"GET / HTTP/1.1\r\n\r\n", ERROR),
    ("no Host, pipelined", b"GET / HTTP/1.1\r\n\r\n" + GET, ERROR),
    ("two Hosts", get(b"Host: y"), ERROR),
    ("two equal Hosts", get(b"Host: x"), ERROR),
    ("two Hosts, one not in lower case", get(b"HOST: y"), ERROR),
    ("empty Host", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", "200"),
    ("empty Host after a space", b"GET / HTTP/1.1\r\nHost: \r\n\r\n", "200"),
    ("Host with a port", b"GET / HTTP/1.1\r\nHost: x.example:8080\r\n\r\n", "200"),
    ("Host of an IPv6 address", b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "200"),
    ("Host with a space", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", ERROR),
    ("Host with a slash", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", ERROR),
    ("Host with a user", b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", ERROR),
    ("Host with a bad port", b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", ERROR),
    ("Host with two ports", b"GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", ERROR),
    ("Host with an open bracket", b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", ERROR),
    ("Host of a URL", b"GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", ERROR),
    ("Host with a high byte", b"GET / HTTP/1.1\r\nHost: \xe9\r\n\r\n", ERROR),
    # Fields (RFC 9112 §5, RFC 9110 §5)
    ("empty value", get(b"X:"), "200"),
    ("no space behind the colon", get(b"X:a"), "200"),
    ("white space around a value", get(b"X: \t a \t "), "200"),
    ("a name of a token's characters", get(b"!#$%&'*+-.^_`|~1a: b"), "200"),
    ("high bytes in a value", get(b"X: \x80\xff"), "200"),
    ("a colon in a value", get(b"X: a:b"), "200"),
    ("tab in a value", get(b"X: a\tb"), "200"),
    ("space before the colon", get(b"X : a"), ERROR),
    ("tab before the colon", get(b"X\t: a"), ERROR),
    ("space before Content-Length's colon", post(b"Content-Length : 5", body=b"hello"), ERROR),
    ("space before Transfer-Encoding's colon", post(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n"), ERROR),
    ("space in a name", get(b"X Y: a"), ERROR),
    ("empty name", get(b": a"), ERROR),
    ("no colon", get(b"X"), ERROR),
    ("a name of a character that none has", get(b"X(Y): a"), ERROR),
    ("a high byte in a name", get(b"\xe9: a"), ERROR),
    ("NUL in a name", get(b"X\0Y: a"), ERROR),
    ("NUL in a value", get(b"X: a\0b"), ERROR),
    ("0x01 in a value", get(b"X: a\x01b"), ERROR),
    ("0x7f in a value", get(b"X: a\x7fb"), ERROR),
    ("bare CR in a value", get(b"X: a\rb"), ERROR),
    ("bare LF behind a line", b"GET / HTTP/1.1\n" + H + b"\r\n", ERROR),
    ("bare LF behind a field", b"GET / HTTP/1.1\r\nHost: x\n\r\n", ERROR),
    ("bare LF as an empty line", b"GET / HTTP/1.1\r\nHost: x\r\n\n", ERROR),
    ("only LF", b"GET / HTTP/1.1\nHost: x\n\n", ERROR),
    ("two CRs", b"GET / HTTP/1.1\r\r\nHost: x\r\n\r\n", ERROR),
    ("two CRs behind a field", b"GET / HTTP/1.1\r\nHost: x\r\r\n\r\n", ERROR),
    ("obs-fold by a space", get(b"X: a", b" b"), ERROR),
    ("obs-fold by a tab", get(b"X: a", b"\tb"), ERROR),
    ("obs-fold of framing", post(b"Transfer-Encoding:", b" chunked", body=b"0\r\n\r\n"), ERROR),
    ("a line that is a space", get(b"X: a", b" "), ERROR),
    ("white space before the first field", b"GET / HTTP/1.1\r\n X: a\r\n" + H + b"\r\n", ERROR),
    ("32 KiB of header", header_of(32 * 1024), "200"),
    ("32 KiB + 1 of header", header_of(32 * 1024 + 1), "431!"),
    ("a header with no end", b"GET / HTTP/1.1\r\nX: " + b"a" * 40_000, "431!"),
    ("100 fields", get(*(b"X-%d: a" % i for i in range(99))), "200"),
    ("101 fields", get(*(b"X-%d: a" % i for i in range(100))), "431!"),
    ("fields with no end", b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200, "431!"),
    # Content-Length (RFC 9112 §6.3, RFC 9110 §8.6)
    ("0", post(b"Content-Length: 0") + GET, "200 200"),
    ("leading zeros", post(b"Content-Length: 0005", body=b"hello") + GET, "200 200"),
    ("white space around it", post(b"Content-Length:  5 ", body=b"hello") + GET, "200 200"),
    ("two equal", post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"), "200|400!"),
    ("two in a list", post(b"Content-Length: 5, 5", body=b"hello"), "200|400!"),
    ("two unlike", post(b"Content-Length: 5", b"Content-Length: 6", body=b"hello!") + GET, ERROR),
    ("two unlike in a list", post(b"Content-Length: 5, 6", body=b"hello!"), ERROR),
    ("a trailing comma", post(b"Content-Length: 5,", body=b"hello"), ERROR),
    ("plus", post(b"Content-Length: +5", body=b"hello"), ERROR),
    ("minus", post(b"Content-Length: -5", body=b"hello"), ERROR),
    ("minus zero", post(b"Content-Length: -0"), ERROR),
    ("hexadecimal", post(b"Content-Length: 0x5", body=b"hello"), ERROR),
    ("a fraction", post(b"Content-Length: 5.0", body=b"hello"), ERROR),
    ("a word", post(b"Content-Length: five", body=b"hello"), ERROR),
    ("empty", post(b"Content-Length:", body=b"hello"), ERROR),
    ("two numbers", post(b"Content-Length: 1 2", body=b"hello"), ERROR),
    ("an underscore", post(b"Content-Length: 1_0", body=b"hello"), ERROR),
    ("digits of another script", post("Content-Length: ٥".encode(), body=b"hello"), ERROR),
    ("2^64 + 5", post(b"Content-Length: 18446744073709551621", body=b"hello"), "400!|413!"),
    ("40 digits", post(b"Content-Length: " + b"9" * 40), "400!|413!"),
    ("1 MiB", post(b"Content-Length: %d" % MIB, body=b"a" * MIB) + GET, "200 200"),
    ("1 MiB + 1, at once", post(b"Content-Length: %d" % (MIB + 1)), "413!"),
    ("1 MiB + 1, sent", post(b"Content-Length: %d" % (MIB + 1), body=b"a" * (MIB + 1)) + GET, "413!"),
    # Transfer-Encoding (RFC 9112 §6.1)
    ("CL and TE", chunked(b"0\r\n\r\n", b"Content-Length: 5") + GET, ERROR),
    ("CL and TE, CL first", post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n") + GET, ERROR),
    ("CL 0 and TE", chunked(b"0\r\n\r\n", b"Content-Length: 0"), ERROR),
    ("CHUNKED", post(b"TRANSFER-ENCODING: CHUNKED", body=b"0\r\n\r\n") + GET, "200 200"),
    ("gzip, chunked", post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), "501!"),
    ("gzip", post(b"Transfer-Encoding: gzip", body=b"0\r\n\r\n"), ERROR),
    ("identity", post(b"Transfer-Encoding: identity", body=b"0\r\n\r\n"), ERROR),
    ("chunked, identity", post(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"), ERROR),
    ("chunked twice", post(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"), "400!|501!"),
    ("two lines of it", chunked(b"0\r\n\r\n", b"Transfer-Encoding: chunked"), "400!|501!"),
    ("two lines, one gzip", chunked(b"0\r\n\r\n", b"Transfer-Encoding: gzip"), ERROR),
    ("xchunked", post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"), ERROR),
    ("chunked;q=1", post(b"Transfer-Encoding: chunked;q=1", body=b"0\r\n\r\n"), ERROR),
    ('"chunked"', post(b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n"), ERROR),
    ("an empty one", post(b"Transfer-Encoding:", body=b"0\r\n\r\n"), ERROR),
    ("0x0b before chunked", post(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"), ERROR),
    ("TE in HTTP/1.0", get(b"Transfer-Encoding: chunked", version=b"HTTP/1.0") + b"0\r\n\r\n", ERROR),
    # Chunks (RFC 9112 §7.1)
    ("chunks", chunked(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n") + GET, "200 200"),
    ("no chunk", chunked(b"0\r\n\r\n") + GET, "200 200"),
    ("sizes in both cases", chunked(b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n") + GET, "200 200"),
    ("leading zeros in a size", chunked(b"0005\r\nhello\r\n000\r\n\r\n") + GET, "200 200"),
    ("a chunk that looks like the end", chunked(b"5\r\n0\r\n\r\n\r\n0\r\n\r\n") + GET, "200 200"),
    ("extensions", chunked(b'5;a;b=c;d="e;\\"f"\r\nhello\r\n0;z\r\n\r\n') + GET, "200 200"),
    ("extension with white space", chunked(b"5 ; a = b\r\nhello\r\n0\r\n\r\n") + GET, "200 200"),
    ("trailers", chunked(b"0\r\nX: a\r\nY: b\r\n\r\n") + GET, "200 200"),
    ("trailers that must not count", chunked(b"0\r\nHost: y\r\nContent-Length: 9\r\nTransfer-Encoding: gzip\r\nConnection: close\r\n\r\n") + GET, "200 200|400!"),
    ("1 MiB of chunks", chunked(b"%x\r\n%s\r\n" % (MIB // 2, b"a" * (MIB // 2)) * 2 + b"0\r\n\r\n") + GET, "200 200"),
    ("1 MiB + 1 of chunks", chunked(b"%x\r\n%s\r\n" % (MIB, b"a" * MIB) + b"1\r\na\r\n0\r\n\r\n") + GET, "413!"),
    ("1 MiB + 1 as a size", chunked(b"%x\r\n" % (MIB + 1)), "413!"),
    ("17 digits in a size", chunked(b"10000000000000005\r\nhello\r\n0\r\n\r\n"), "400!|413!"),
    ("16 digits in a size", chunked(b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n"), "400!|413!"),
    ("plus in a size", chunked(b"+5\r\nhello\r\n0\r\n\r\n"), ERROR),
    ("minus in a size", chunked(b"-5\r\nhello\r\n0\r\n\r\n"), ERROR),
    ("0x in a size", chunked(b"0x5\r\nhello\r\n0\r\n\r\n"), ERROR),
    ("underscore in a size", chunked(b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n"), ERROR),
    ("space before a size", chunked(b" 5\r\nhello\r\n0\r\n\r\n"), ERROR),
    ("space behind a size", chunked(b"5 \r\nhello\r\n0\r\n\r\n"), "200|400!"),
    ("no size", chunked(b"\r\nhello\r\n0\r\n\r\n"), ERROR),
    ("no size, but an extension", chunked(b";a\r\nhello\r\n0\r\n\r\n"), ERROR),
    ("a word as a size", chunked(b"xyz\r\nhello\r\n0\r\n\r\n"), ERROR),
    ("LF behind a size", chunked(b"5\nhello\r\n0\r\n\r\n"), ERROR),
    ("LF behind a chunk", chunked(b"5\r\nhello\n0\r\n\r\n"), ERROR),
    ("LF behind the last size", chunked(b"0\n\r\n"), ERROR),
    ("LF at the end", chunked(b"0\r\n\n"), ERROR),
    ("LF in an extension", chunked(b"5;a\nb\r\nhello\r\n0\r\n\r\n"), ERROR),
    ("CR in an extension", chunked(b"5;a\rb\r\nhello\r\n0\r\n\r\n"), ERROR),
    ("NUL in an extension", chunked(b"5;a\0b\r\nhello\r\n0\r\n\r\n"), ERROR),
    ("nothing behind a chunk", chunked(b"5\r\nhello0\r\n\r\n"), ERROR),
    ("two bytes too many", chunked(b"5\r\nhelloXX\r\n0\r\n\r\n"), ERROR),
    ("a chunk that is too short", chunked(b"6\r\nhello\r\n0\r\n\r\n"), ERROR),
    ("100 KiB of extension", chunked(b"5;a=" + b"b" * 100 * 1024 + b"\r\nhello\r\n0\r\n\r\n"), "400!|413!|431!"),
    ("100 KiB of trailers", chunked(b"0\r\nX: " + b"b" * 100 * 1024 + b"\r\n\r\n"), "400!|413!|431!"),
    ("a trailer with no colon", chunked(b"0\r\nX\r\n\r\n"), ERROR),
    ("a folded trailer", chunked(b"0\r\nX: a\r\n b\r\n\r\n"), ERROR),
    ("a space before a trailer's colon", chunked(b"0\r\nX : a\r\n\r\n"), ERROR),
    # Connections (RFC 9112 §9)
    ("close", get(b"Connection: close") + GET, "200!"),
    ("Close", get(b"Connection: Close") + GET, "200!"),
    ("CLOSE in a list", get(b"Connection: Keep-Alive, CLOSE") + GET, "200!"),
    ("close first in a list", get(b"connection:close,keep-alive") + GET, "200!"),
    ("close in a second line", get(b"Connection: keep-alive", b"Connection: close") + GET, "200!"),
    ("empty elements", get(b"Connection: , ,close,") + GET, "200!"),
    ("keep-alive in 1.1", get(b"Connection: keep-alive") + GET, "200 200"),
    ("an option that is none", get(b"Connection: closed, X-Close") + GET, "200 200"),
    ("a close with a body", post(b"Content-Length: 5", b"Connection: close", body=b"hello") + GET, "200!"),
    ("HTTP/1.0", get(version=b"HTTP/1.0") + GET, "200!"),
    ("HTTP/1.0 without Host", b"GET / HTTP/1.0\r\n\r\n", "200!"),
    ("HTTP/1.0 with two Hosts", get(b"Host: y", version=b"HTTP/1.0"), ERROR),
    ("HTTP/1.0 kept", get(b"Connection: keep-alive", version=b"HTTP/1.0") + GET, "200 200"),
    ("HTTP/1.0 Keep-Alive", get(b"Connection: Keep-Alive", version=b"HTTP/1.0"), "200"),
    ("HTTP/1.0 of both options", get(b"Connection: keep-alive, close", version=b"HTTP/1.0") + GET, "200!"),
    ("HTTP/1.0 with a body", get(b"Content-Length: 5", b"Connection: keep-alive", version=b"HTTP/1.0") + b"hello" + GET, "200 200"),
    ("HTTP/1.0 HEAD", get(b"Connection: keep-alive", version=b"HTTP/1.0", method=b"HEAD") + GET, "200 200"),
    ("three, the second bad", GET + b"GET / HTTP/1.1\r\n\r\n" + GET, "200 400!"),
    ("three, the second of an unknown method", GET + get(method=b"NO") + GET, "200 501!"),
    ("three, the second closing", GET + LAST + GET, "200 200!"),
    ("1,000 pipelined", GET * 1000, "200 " * 1000),
    ("300 with bodies, pipelined", post(b"Content-Length: 3", body=b"abc") * 300, "200 " * 300),
    ("300 with chunks, pipelined", chunked(b"3\r\nabc\r\n0\r\n\r\n") * 300, "200 " * 300),
    ("an error to HEAD", b"HEAD / HTTP/1.1\r\n\r\n", ERROR),
    ("a version error to HEAD", get(method=b"HEAD", version=b"HTTP/3.0"), "505!"),
    # Expect (RFC 9110 §10.1.1)
    ("a body that came with its expectation", post(b"Expect: 100-continue", b"Content-Length: 5", body=b"hello") + GET, "200 200|100 200 200"),
    ("100-Continue", post(b"expect: 100-CONTINUE", b"Content-Length: 5", body=b"hello") + GET, "200 200|100 200 200"),
    ("an expectation without a body", get(b"Expect: 100-continue") + GET, "200 200|100 200 200"),
    ("an expectation with chunks", chunked(b"5\r\nhello\r\n0\r\n\r\n", b"Expect: 100-continue") + GET, "200 200|100 200 200"),
    ("an expectation in HTTP/1.0", get(b"Expect: 100-continue", b"Content-Length: 5", version=b"HTTP/1.0") + b"hello", "200!"),
    ("an expectation of too much", post(b"Expect: 100-continue", b"Content-Length: 9999999"), "413!"),
    ("another expectation", post(b"Expect: tea", b"Content-Length: 5", body=b"hello"), "417!"),
    # Upgrades (RFC 9110 §7.8)
    ("WebSocket", get(b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"Sec-WebSocket-Version: 13") + GET, "200 200"),
    ("h2c", get(b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAMAAABkAAQAAP__") + GET, "200 200"),
    ("h2c with a body", post(b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: ", b"Content-Length: %d" % len(LAST), body=LAST) + GET, "200 200"),
    ("h2c with chunks", chunked(b"5\r\nhello\r\n0\r\n\r\n", b"Upgrade: h2c", b"Connection: Upgrade") + GET, "200 200"),
    ("an upgrade and a close", get(b"Upgrade: h2c", b"Connection: Upgrade, close") + GET, "200!"),
]  # fmt: skip


@dataclass
class Answer:
    status: int
    fields: dict[str, str]
    body: bytes


class Reader:
    """Answers off a socket, each checked for its own sake."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.data = b""
        self.ended = False

    def more(self) -> bool:
        if not self.ended:
            try:
                piece = self.sock.recv(1 << 16)
            except ConnectionResetError:
                piece = b""
            self.data += piece
            self.ended = not piece
        return not self.ended

    def answer(self, *, to_head: bool) -> Answer | None:
        """The next one; None at the end."""
        while b"\r\n\r\n" not in self.data:
            if not self.more():
                assert not self.data, f"ended in a head: {self.data!r}"
                return None
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("ascii").split("\r\n")
        assert re.fullmatch(r"HTTP/1\.1 \d{3} [A-Za-z -]+", status_line), status_line
        status = int(status_line[9:12])
        fields: dict[str, str] = {}
        for line in lines:
            name, separator, value = line.partition(": ")
            assert separator, line
            assert name == name.lower()
            assert name not in fields
            fields[name] = value
        if status == 100:
            assert not fields
            return Answer(status, fields, b"")
        body = b""
        if not to_head:
            length = int(fields["content-length"])
            while len(self.data) < length:
                assert self.more(), f"ended in a body: {self.data!r}"
            body, self.data = self.data[:length], self.data[length:]
        check(status, fields, body, to_head=to_head)
        return Answer(status, fields, body)


def check(status: int, fields: dict[str, str], body: bytes, *, to_head: bool) -> None:
    """What every final answer must be."""
    assert set(fields) <= {"content-length", "content-type", "date", "connection", "allow"}
    assert re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", fields["date"])
    assert abs(parsedate_to_datetime(fields["date"]).timestamp() - time.time()) < 5
    assert ("allow" in fields) == (status == 405)
    if status == 200:
        assert fields["content-length"] == "40"
        assert fields["content-type"] == "application/json"
        assert to_head or re.fullmatch(rb'\{ "time": "\d{4}-\d\d-\d\d \d\d:\d\d:\d\d -00:00" \}', body)
    else:
        assert fields["connection"] == "close"
        assert to_head or body


def converse(port: int, data: bytes, *, cut: int, behind: bytes | None) -> list[Answer]:
    """Every answer up to the end; `behind` goes behind the data, None closes the client's side instead."""
    answers: list[Answer] = []
    with connect(("127.0.0.1", port)) as sock:
        sock.settimeout(WAIT_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = Reader(sock)
        try:
            for at in range(0, len(data), cut):
                sock.sendall(data[at : at + cut])
                if len(data) > SMALL and select.select([sock], [], [], 0)[0]:
                    reader.more()  # a server whose answers nobody takes stops reading
            if behind is None:
                sock.shutdown(socket.SHUT_WR)
            else:
                sock.sendall(behind)
        except (BrokenPipeError, ConnectionResetError, OSError):
            pass  # it has been refused: what was said stands to be read
        to_head = data.startswith(b"HEAD ")  # in the cases only a first one is
        while (answer := reader.answer(to_head=to_head)) is not None:
            answers.append(answer)
            to_head = to_head and answer.status == 100
    return answers


def outcome(answers: list[Answer]) -> str:
    """The statuses, and `!` where the last says that the connection ends; none before it may say so."""
    assert all(answer.fields.get("connection") != "close" for answer in answers[:-1])
    closed = bool(answers) and answers[-1].fields.get("connection") == "close"
    return " ".join(str(answer.status) for answer in answers) + "!" * closed


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    number = free_port()
    process = launch(f"--port={number}", "--ips=127.0.0.1", "--logs=warning")
    try:
        for _ in range(500):
            try:
                connect(("127.0.0.1", number)).close()
                break
            except ConnectionRefusedError:
                assert process.poll() is None
                time.sleep(0.02)
        yield number
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""
    finally:
        process.kill()
        process.communicate()


def test_the_cases_are_told_apart() -> None:
    names = [name for name, _, _ in CASES]
    assert len(names) == len(set(names)) >= 200


@pytest.mark.parametrize(("data", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_case(data: bytes, expected: str, port: int) -> None:
    right = [" ".join(each.split()) for each in expected.split("|")]
    stays = any(not each.endswith("!") for each in right)
    answered_behind = [each if each.endswith("!") else f"{each} 200!" for each in right]
    for cut in (len(data), 1 if len(data) < SMALL else 1021):
        answers = converse(port, data, cut=cut, behind=SENTINEL if stays else b"")
        assert outcome(answers) in answered_behind, f"cut {cut}"
        assert outcome(converse(port, data, cut=cut, behind=None)) in right, f"cut {cut}, closed behind"


def test_a_kept_http_1_0_connection_is_told_so(port: int) -> None:
    answers = converse(port, get(b"Connection: keep-alive", version=b"HTTP/1.0"), cut=1000, behind=SENTINEL)
    assert answers[0].fields["connection"] == "keep-alive"
