"""The machine's clock against its RTC."""

from __future__ import annotations

import datetime as dt
import fcntl
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.guest import console, wall_clock, watch
from squib.guest.console import Console
from squib.guest.output import Output

NOW = dt.datetime(2026, 12, 1, 4, 43, 24, tzinfo=dt.UTC)


class Machine:
    """An RTC that tells NOW, and a clock that is `ahead_ms` ahead of the middle of its second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ahead_ms: int) -> None:
        self.rtc = tmp_path / "rtc0"
        self.rtc.touch()
        self.now_ns = int(NOW.timestamp()) * 10**9 + 500_000_000 + ahead_ms * 1_000_000
        clock = SimpleNamespace(
            CLOCK_REALTIME=time.CLOCK_REALTIME, clock_gettime_ns=lambda _: self.now_ns, clock_settime_ns=self._set
        )
        monkeypatch.setattr(wall_clock, "time", clock)
        monkeypatch.setattr(wall_clock, "fcntl", SimpleNamespace(ioctl=self._ioctl))

    def _set(self, _: int, now_ns: int) -> None:
        self.now_ns = now_ns

    def _ioctl(self, _: int, request: int, __: bytes) -> bytes:
        assert request == 0x80247009
        fields = (NOW.second, NOW.minute, NOW.hour, NOW.day, NOW.month - 1, NOW.year - 1900, 0, 0, 0)
        return wall_clock._RTC_TIME.pack(*fields)


@given(st.dates(dt.date(1970, 1, 1), dt.date(2999, 12, 31)))
def test_days_are_those_of_the_calendar(day: dt.date) -> None:
    assert wall_clock.days_since_1970(day.year, day.month, day.day) == (day - dt.date(1970, 1, 1)).days


@pytest.mark.parametrize("ahead_ms", [25_000, -25_000, 2_001, -2_001, 10**9])
def test_a_wrong_clock_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ahead_ms: int) -> None:
    machine = Machine(monkeypatch, tmp_path, ahead_ms)
    assert wall_clock.mend(str(machine.rtc)) == ahead_ms
    assert machine.now_ns == int(NOW.timestamp()) * 10**9 + 500_000_000
    assert wall_clock.mend(str(machine.rtc)) is None


@pytest.mark.parametrize("ahead_ms", [0, 499, -500, 2_000, -2_000])
def test_a_right_clock_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ahead_ms: int) -> None:
    machine = Machine(monkeypatch, tmp_path, ahead_ms)
    before = machine.now_ns
    assert wall_clock.mend(str(machine.rtc)) is None
    assert machine.now_ns == before


def test_a_machine_without_an_rtc(tmp_path: Path) -> None:
    assert wall_clock.mend(str(tmp_path / "rtc0")) is None
    (tmp_path / "rtc0").touch()
    with pytest.raises(OSError, match="ioctl"), (tmp_path / "rtc0").open() as file:
        fcntl.ioctl(file, 0x80247009, bytes(36))
    assert wall_clock.mend(str(tmp_path / "rtc0")) is None, "what is no RTC tells no time"


def test_an_rtc_that_nobody_keeps_is_not_believed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine = Machine(monkeypatch, tmp_path, 25_000)
    long_past = wall_clock._RTC_TIME.pack(0, 0, 0, 1, 0, 100, 0, 0, 0)
    monkeypatch.setattr(wall_clock, "fcntl", SimpleNamespace(ioctl=lambda *_: long_past))
    assert wall_clock.mend(str(machine.rtc)) is None


def test_pid_1_looks_again_and_says_what_it_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start, 10 s later, and then each minute, on a clock that this test moves."""
    uptime_ms, looked, told = 0, [], []

    def mend() -> int | None:
        looked.append(uptime_ms)
        return 25_000 if len(looked) == 2 else None

    monkeypatch.setattr(console, "uptime_ms", lambda: uptime_ms)
    monkeypatch.setattr(Console, "write", lambda _, line: told.append(line))
    pid_1 = watch.Watch(
        Console(-1), Output(-1), None, None, None, addresses=[], mend_clock=mend  # type: ignore[arg-type]
    )  # fmt: skip
    pid_1._look_at_clock(mend, wall_clock.FIRST_MS)
    for uptime_ms in range(0, 200_000, 1000):
        pid_1._wait(uptime_ms)
    assert looked == [0, 10_000, 70_000, 130_000, 190_000]
    assert told == ["squib.clock abi=3 uptime_ms=10000 ahead_ms=25000"]
