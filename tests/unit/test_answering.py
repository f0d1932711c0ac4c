"""Which requests are usual, what they hold, and what their answers are."""

from __future__ import annotations

import os

import pytest

from squib.guest.answering import Answering
from squib.guest.handler import Request, Response
from squib.guest.head import Head, HeadReader
from squib.guest.limits import Limits
from squib.guest.logs import Logs

GET = b"GET /%d HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n"


def answering(answer: object = None) -> Answering:
    log = Logs((("*", -1),), fd=os.open(os.devnull, os.O_WRONLY)).source("http")
    return Answering(answer, {"k": 1}, log)  # type: ignore[arg-type]  # handlers come without types, too


def usual(data: bytes) -> Request | None:
    return answering().usual(data, HeadReader(Limits()))


def test_a_usual_request_holds_all_that_was_sent() -> None:
    request = usual(GET % 1)
    assert request is not None
    assert (request.method, request.target, request.keys) == ("GET", "/1", {"k": 1})
    assert request.headers == (("host", "x"), ("a", "b"))
    assert request.headers == (("host", "x"), ("a", "b"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"abc",  # find gives -1, and -1 + 4 is its length
        b"\r\n\r\n",
        b"\r\n" + GET % 1,
        GET % 1 + b"G",
        GET % 1 + GET % 2,
        (GET % 1)[:-1],
        GET % 1 + b"\r\n\r\n",
        b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\nConnection: keep-alive, close\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\n\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n A: b\r\n\r\n",
        b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 40_000 + b"\r\n\r\n",
    ],
)
def test_nothing_else_is_usual(data: bytes) -> None:
    assert usual(data) is None


@pytest.mark.parametrize(
    "lines",
    [
        b"HOST: x\r\nCONNECTION: keep-alive",
        b"Connection: Keep-Alive\r\nhost:x",
        b"Host: x\r\nContent-Type: a/b\r\nConfoo: close",
    ],
)
def test_usual_in_any_spelling(lines: bytes) -> None:
    assert usual(b"GET / HTTP/1.1\r\n%s\r\n\r\n" % lines) is not None


def test_an_answer_has_the_date_of_its_second() -> None:
    response = Response(b"x")
    asked = answering()
    request = Request("GET", "/", (), {})
    asked.set_second(0)
    first = asked.encode(request, response)
    assert b"\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\nx" in first
    assert asked.encode(request, response) is first
    asked.set_second(1)
    assert b"00:00:01 GMT\r\n\r\nx" in asked.encode(request, response)
    assert asked.encode(request, Response(b"y")).endswith(b"\r\n\r\ny")


def test_a_handler_that_gives_no_response_is_found_out_each_time() -> None:
    asked = answering(lambda request: None)
    for _ in range(2):
        assert asked.encode(Request("GET", "/", (), {}), None).startswith(b"HTTP/1.1 500 ")
        assert asked.respond(Head("HEAD", b"/", 1, b"\r\n"), 1, keep_alive=True).startswith(b"HTTP/1.1 500 ")


def test_a_request_cannot_be_changed_since_another_may_be_given_the_same() -> None:
    request = Request("GET", "/", (), {})
    for name in ("method", "target", "keys", "headers"):
        with pytest.raises(AttributeError):
            setattr(request, name, "x")
