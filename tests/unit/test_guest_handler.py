"""Answers that cannot be made wrong, and the clock's bytes."""

from __future__ import annotations

import pytest

from squib.guest.answers import date_line
from squib.guest.clock import body_at
from squib.guest.deadlines import Timed, Wheel
from squib.guest.handler import Response


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("A\r\nB", "c"), ("", "c"), ("A b", "c"), ("A:", "c"), ("é", "c"), ("A", "b\r\nC: d"), ("A", "b\0"), ("A", "\n"), ("A", "☃"),
        ("Content-Length", "3"), ("transfer-encoding", "chunked"), ("Connection", "close"), ("Date", "now"),
    ],
)  # fmt: skip
def test_no_header_is_smuggled_into_an_answer(name: str, value: str) -> None:
    with pytest.raises(ValueError):
        Response(b"", headers=((name, value),))


def test_what_a_response_refuses() -> None:
    with pytest.raises(ValueError):
        Response(b"", content_type="a\r\nb: c")
    with pytest.raises(TypeError):
        Response("text")  # type: ignore[arg-type]  # what a careless handler does
    for status in (100, 101, 199, 600, -1):
        with pytest.raises(ValueError):
            Response(b"", status=status)
    with pytest.raises(ValueError):
        Response(b"x", status=204)
    with pytest.raises(AttributeError):
        Response(b"x").body = b"y"  # type: ignore[misc]  # that it cannot be changed is the point


def test_statuses_without_a_body_have_no_length() -> None:
    assert Response(b"", status=204).head == b"HTTP/1.1 204 No Content\r\n"
    assert Response(b"", status=599).head.startswith(b"HTTP/1.1 599 \r\ncontent-length: 0\r\n")


def test_the_clocks_bytes() -> None:
    assert body_at(1795474942) == b'{ "time": "2026-11-23 23:02:22 -00:00" }'
    assert len(body_at(0)) == 40
    assert date_line(784111777) == b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"  # the example of RFC 9110 §5.6.7


def test_the_wheel() -> None:
    wheel = Wheel(0.5, 100.0)
    a, b = Timed(), Timed()
    wheel.set(a, 101.0)
    wheel.set(b, 110.0)
    assert wheel.due(100.9) == []
    assert wheel.due(101.5) == [a]
    assert wheel.due(109.0) == []
    wheel.set(b, 120.0)  # later: found too early, and put back
    wheel.set(a, 130.0)
    wheel.set(a, 112.0)  # earlier
    assert wheel.due(112.6) == [a]
    wheel.forget(b)
    assert wheel.due(1000.0) == []
    assert wheel.due(1e9) == []
