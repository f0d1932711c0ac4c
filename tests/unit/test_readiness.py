"""Readiness from a console of any length and any content."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from squib.errors import MissingError
from squib.formats.console_lines import ABI
from squib.host.rotation import rotate, tail
from squib.vmm import readiness as module
from squib.vmm.readiness import Readiness, readiness

READY = b"squib.ready abi=%d uptime_ms=34 listen=tcp:0.0.0.0:80\r\n" % ABI
RESTART = b"squib.restart abi=%d attempt=1 delay_ms=100 cause=exit:1\r\n" % ABI


def look(tmp_path: Path, console: bytes) -> Readiness:
    path = tmp_path / "console.log"
    path.write_bytes(console)
    return readiness(path)


def test_the_last_word_counts(tmp_path: Path) -> None:
    assert look(tmp_path, READY).ready
    assert not look(tmp_path, READY + RESTART).ready
    assert look(tmp_path, READY + RESTART + READY).ready
    assert look(tmp_path, READY + b"squib.rea").ready, "half a line says nothing yet"


def test_health(tmp_path: Path) -> None:
    def health(state: str) -> bytes:
        return b"squib.health abi=%d uptime_ms=9 state=%s failures=1 check=timeout\r\n" % (ABI, state.encode())

    assert look(tmp_path, health("ok") + READY).ready
    assert look(tmp_path, READY + health("failing")).because == "its health check failed (timeout, failing)"
    assert not look(tmp_path, READY + health("starting")).ready
    assert not look(tmp_path, READY + health("unhealthy")).ready
    assert look(tmp_path, READY + health("failing") + health("ok")).ready


def test_nothing_said_is_ready(tmp_path: Path) -> None:
    """A machine that runs was ready when it was started."""
    assert look(tmp_path, b"").ready
    assert look(tmp_path, b"\0\xff\n" * 100).ready


@pytest.mark.parametrize("size", range(60, 200, 7))
def test_a_line_that_a_chunk_cuts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(module, "_CHUNK", 64)
    assert not look(tmp_path, READY + RESTART + b"x" * size + b"\n").ready


def test_a_flood_is_read_in_part_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK", 64)
    monkeypatch.setattr(module, "_LOOKED_AT", 640)
    assert not look(tmp_path, RESTART + b"x" * 500).ready
    assert look(tmp_path, RESTART + b"x\n" * 400).ready, "out of sight"


def test_no_console(tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        readiness(tmp_path / "console.log")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes of consoles were read, one number for each time."""
    read: list[int] = []
    pread, end_of = os.pread, tail

    def counting(descriptor: int, size: int, offset: int) -> bytes:
        read.append(len(data := pread(descriptor, size, offset)))
        return data

    def counting_tail(log: Path, size: int) -> bytes:
        read.append(len(data := end_of(log, size)))
        return data

    monkeypatch.setattr(os, "pread", counting)
    monkeypatch.setattr(module, "tail", counting_tail)
    return read


def test_a_second_look_reads_only_what_came(tmp_path: Path, counted: list[int]) -> None:
    console = tmp_path / "console.log"
    console.write_bytes(READY + RESTART + b"x" * 99 + b"\n" + b"a line\n" * 100_000)
    assert readiness(console).because
    assert sum(counted) > 700_000
    for more, because in (
        (b"", True),
        (b"half", True),
        (b" a line\n", True),
        (READY[:9], True),
        (READY[9:], False),
        (RESTART, True),
    ):
        counted.clear()
        with console.open("ab") as file:
            file.write(more)
        assert bool(readiness(console).because) is because
        assert sum(counted) < 200


@pytest.mark.parametrize("kept", [b"", b"{}", b"\xff", b'{"offset": -1}', b"[" * 5000, None])
def test_what_was_kept_is_not_believed_where_it_is_wrong(tmp_path: Path, kept: bytes | None) -> None:
    console, seen = tmp_path / "console.log", tmp_path / "console.log.seen"
    console.write_bytes(READY + RESTART)
    if kept is None:
        seen.mkdir()
    else:
        seen.write_bytes(kept)
    assert not readiness(console).ready
    console.write_bytes(RESTART + READY)
    assert readiness(console).ready, "another console"


def test_a_console_that_is_cut(tmp_path: Path, counted: list[int]) -> None:
    console = tmp_path / "console.log"
    console.write_bytes(RESTART + b"a line\n" * 30_000)
    assert not readiness(console).ready
    rotate(console, over=1, keep=2)
    assert not readiness(console).ready
    counted.clear()
    assert not readiness(console).ready
    assert sum(counted) <= 64
    with console.open("ab") as file:
        file.write(READY)
    assert readiness(console).ready


def test_a_folder_that_is_removed_stays_so(tmp_path: Path) -> None:
    console = tmp_path / "gone" / "console.log"
    module._keep(console, None, 0, READY, Readiness(ready=True))
    assert list(tmp_path.iterdir()) == []


NEARLY = [
    b"squib.x\n",
    b"squib.ready abi=%d uptime_ms=1 \n" % ABI,
    b"squib.ready abi=%d uptime_ms=0 listen=,\n" % ABI,
    b"\n",
    READY,
]


@pytest.mark.parametrize("unit", NEARLY)
def test_fifty_machines(tmp_path: Path, unit: bytes) -> None:
    """With 1 MiB of console each, of whatever a guest may have written: a first look at all of them, and a second one."""
    console = (RESTART + unit * (1 << 20))[: 1 << 20]
    machines = [tmp_path / str(number) / "console.log" for number in range(50)]
    for path in machines:
        path.parent.mkdir()
        path.write_bytes(console)
    begin = time.process_time()
    first = [readiness(path) for path in machines]
    assert time.process_time() - begin < 5, "half a second, on a machine that has nothing else to do"
    begin = time.process_time()
    assert [readiness(path) for path in machines] == first
    assert time.process_time() - begin < 2
