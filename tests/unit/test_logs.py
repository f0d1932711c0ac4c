"""Lines of a console for people and programs: whose they are, when they were, and which are wanted."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import click
import pytest

from squib.app import logs
from squib.app.logs import Selection, recorded
from squib.app.passages import Line, Passage, Source, Splitter
from squib.cli.logs import Moment
from squib.cli.terminal import visible
from squib.store import Machine

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


def passages(data: bytes, size: int, begin: float | None = None) -> Iterator[Passage]:
    splitter = Splitter(begin)
    for at in range(0, len(data), size):
        yield from splitter.feed(data[at : at + size])
    yield from splitter.end()


def split(data: bytes, size: int, begin: float | None = None) -> list[Line]:
    return [line for passage in passages(data, size, begin) for line in passage.lines()]


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


@pytest.fixture
def console(tmp_path: Path) -> Path:
    (tmp_path / "console.log").touch()
    return tmp_path / "console.log"


def machine(console: Path, begin: float | None = None) -> Machine:
    """As much of one as its log needs."""
    began = SimpleNamespace(run_dir=console.parent, ready_ms=None, boot_ms=None, restarts=0, created_ms=(begin or 0) * 1000)
    if begin is None:
        began.restarts = 1
    return cast("Machine", began)


def test_selection(console: Path) -> None:
    console.write_bytes(CONSOLE)

    def raws(wanted: Selection, begin: float | None = None) -> list[bytes]:
        return [line.raw for passage in recorded(machine(console, begin), wanted) for line in passage.lines()]

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


def test_a_run_of_empty_lines_is_told() -> None:
    data = b"a\r\n" + b"\r\n" * 3 + b"b\n" + b" \r\n" * 12345 + b"c\n\n"
    found = split(data, 1000)
    assert [(line.raw, line.source) for line in found] == [
        (b"a\r\n", Source.CONSOLE),
        *[(b"\r\n", Source.CONSOLE)] * 3,
        (b"b\n", Source.CONSOLE),
        (b"[12,345 empty lines are left out here]\n", Source.SQUIB),
        (b"c\n", Source.CONSOLE),
        (b"\n", Source.CONSOLE),
    ]


FLOODS = {
    "line feeds": b"\n",
    "crlf": b"\r\n",
    "letters": b"a\n",
    "spaces": b"  \n",
    "pairs": b"a\n\n",
    "endless": b"x",
    "control": b"\x1b[2J",
    "endings": b"\r",
    "stamps": STAMPED % 7,
    "half stamps": b" +00:00: INF [",
    "ours": b"squib.ready abi=2\n",
}


def flood(console: Path, unit: bytes, size: int) -> None:
    """So many bytes, in four pieces."""
    for path in (console, *(console.with_name(f"console.log.{number}") for number in (1, 2, 3))):
        path.write_bytes((unit * (size // 4 // len(unit) + 1))[: size // 4])


@pytest.mark.parametrize("unit", FLOODS.values(), ids=FLOODS.keys())
def test_the_last_lines_of_a_flood(console: Path, unit: bytes) -> None:
    flood(console, unit, 24 << 20)
    begin = time.process_time()
    last = list(recorded(machine(console), Selection(newest=5)))
    assert sum(passage.count for passage in last) == (1 if unit.isspace() and b"\n" in unit else 5)
    assert time.process_time() - begin < 20, "it takes under a second on a machine that has nothing else to do"


@pytest.mark.parametrize("unit", FLOODS.values(), ids=FLOODS.keys())
def test_a_flood_is_read_in_little_memory(console: Path, unit: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    flood(console, unit, 4 << 20)
    monkeypatch.setattr(logs, "_READ", 1 << 14)
    read = 0
    tracemalloc.start()
    try:
        for passage in recorded(machine(console), Selection()):
            visible(passage.raw[:99])
            read += len(passage.raw)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert read == 4 << 20 or not unit.strip()


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
