"""Readiness from a console of any length and any content."""

from __future__ import annotations

from pathlib import Path

import pytest

from squib.errors import MissingError
from squib.formats.console_lines import ABI
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
