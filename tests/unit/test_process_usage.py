"""What a process uses: against what it is known to use, and of a process that is gone or another's."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from squib.host.process import myself
from squib.host.process_usage import ProcessUsage, age_s, usage


def test_of_this_process() -> None:
    ballast = bytearray(b"x" * (64 << 20))
    cpu = time.process_time()
    while time.process_time() < cpu + 0.05:
        pass
    seen = usage(myself())
    assert seen is not None
    assert 64 < seen.rss_mib < 2000
    assert seen.pss_mib is not None
    assert 64 < seen.pss_mib <= seen.rss_mib + 1
    assert 0.04 < seen.cpu_s <= time.process_time() + 0.1
    assert 0 < seen.age_s < 3600
    assert 0 < seen.cpu_percent < 6400
    assert len(ballast) == 64 << 20


def test_another_with_the_same_pid_is_not_it() -> None:
    me = myself()
    assert usage(replace(me, start_time=me.start_time - 1)) is None
    assert usage(replace(me, boot_id="another")) is None
    assert usage(replace(me, pid=4194304 + 1)) is None


def test_its_age_does_not_hang_on_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    before = age_s(myself())
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert before <= age_s(myself()) < before + 60
    assert age_s(replace(myself(), start_time=1 << 60)) == 0, "never negative"


def test_a_process_that_started_this_moment() -> None:
    assert ProcessUsage(1, None, 0.01, 0).cpu_percent == 0
