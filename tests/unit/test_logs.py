"""Lines of a console for people and programs: whose they are, when they were, and which are wanted."""

from __future__ import annotations

import time

import click
import pytest

from squib.app.logs import Line, Selection, Source, Splitter, selected
from squib.cli.logs import Moment
from squib.cli.terminal import visible

STAMPED = b"2026-11-24 03:00:%02d +00:00: INF [http] GET / 200\r\n"
AT = 1795489200.0  # 2026-11-24 03:00:00 UTC
CONSOLE = b"".join(
    (
        b"[    0.1] Linux version 6.1\r\n",
        b"squib.boot abi=3 uptime_ms=3\r\n",
        STAMPED % 1,
        b"[    9.1] oom-killer\r\n",
        STAMPED % 2,
        b"squib: the server died\r\n",
        b"2026-13-99 03:00:00 +00:00: INF [http] no such day\r\n",
        b"without an end",
    )
)


def split(data: bytes, size: int, begin: float | None = None) -> list[Line]:
    splitter = Splitter(begin)
    found = [line for at in range(0, len(data), size) for line in splitter.feed(data[at : at + size])]
    return found + list(splitter.end())


@pytest.mark.parametrize("size", [1, 2, 7, 50, 10000])
def test_lines_however_they_are_cut(size: int) -> None:
    found = split(CONSOLE, size)
    assert b"".join(line.raw for line in found) == CONSOLE
    assert [(line.source, line.at, line.own_time) for line in found] == [
        (Source.CONSOLE, None, False),
        (Source.INIT, None, False),
        (Source.SERVER, AT + 1, True),
        (Source.CONSOLE, AT + 1, False),
        (Source.SERVER, AT + 2, True),
        (Source.INIT, AT + 2, False),
        (Source.CONSOLE, AT + 2, False),
        (Source.CONSOLE, AT + 2, False),
    ]


def test_an_endless_line_is_cut() -> None:
    data = b"x" * 200_000
    found = split(data, 4096)
    assert b"".join(line.raw for line in found) == data
    assert max(len(line.raw) for line in found) == 1 << 16
    assert next(Splitter().feed(data)).raw == b"x" * (1 << 16)


def test_selection() -> None:
    def raws(wanted: Selection, begin: float | None = None) -> list[bytes]:
        return [line.raw for line in selected(split(CONSOLE, 99, begin), wanted)]

    whole = CONSOLE.splitlines(keepends=True)
    assert raws(Selection()) == whole
    assert raws(Selection(newest=2)) == whole[-2:]
    assert raws(Selection(newest=0)) == []
    assert raws(Selection(newest=99)) == whole
    assert raws(Selection(since=AT + 1)) == whole[2:], "what comes before the first stamp is older"
    assert raws(Selection(since=AT), AT) == whole, "unless it is known when the machine was started"
    assert raws(Selection(since=AT + 2)) == whole[4:]
    assert raws(Selection(since=AT + 2, newest=1)) == whole[-1:]
    assert raws(Selection(since=AT + 3)) == []


def test_what_a_guest_sends_a_terminal_is_made_visible() -> None:
    assert visible(b"plain \xc3\xa9\tand tab\r\n") == "plain é\tand tab\n"
    assert visible(b"\x1b]0;title\x07 \x1b[2J\x7f\xc2\x9b1m\n") == r"\x1b]0;title\x07 \x1b[2J\x7f\x9b1m" + "\n"
    assert visible(b"over\rwritten\r\n") == r"over\rwritten" + "\n"
    assert visible(b"\xff\xfe") == r"\xff\xfe"
    assert visible("\u202eevil\u2028".encode()).startswith(r"\u202eevil")


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: AT)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("10m", AT - 600),
        ("0s", AT),
        ("1h30m", AT - 5400),
        ("2d", AT - 172800),
        ("2026-11-24T03:00:00Z", AT),
        ("2026-11-24 03:00:00", AT),
        ("2026-11-24 03:00", AT),
        ("2026-11-24T04:00:00.5+01:00", AT + 0.5),
        ("2026-11-24", AT - 3 * 3600),
    ],
)
@pytest.mark.usefixtures("now")
def test_moments(text: str, moment: float) -> None:
    assert Moment().convert(text, None, None) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10",
        "m",
        "-5m",
        "10 m",
        "1.5h",
        "10m!",
        "yesterday",
        "2026-02-30",
        "2026-11-24T25:00:00Z",
        "20261124",
        "9" * 40 + "d",
        "٣m",
        "nan",
    ],
)
def test_no_moments(text: str) -> None:
    with pytest.raises(click.BadParameter, match="neither a duration"):
        Moment().convert(text, None, None)


def test_nothing_said_is_no_line() -> None:
    assert split(b"", 1) == []
    assert list(Splitter().feed(b"")) == []
