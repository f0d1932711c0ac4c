"""What a process uses: against what it is known to use, and of a process that is gone or another's."""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace

import pytest

from squib.host.process import identify, myself
from squib.host.process_usage import ProcessUsage, age_s, usage
from support import waited_for


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
    assert seen.age_s > 0
    assert 0 < seen.cpu_percent < 6400
    assert len(ballast) == 64 << 20


def test_another_with_the_same_pid_is_not_it() -> None:
    me = myself()
    assert usage(replace(me, start_time=me.start_time - 1)) is None
    assert usage(replace(me, boot_id="another")) is None
    assert usage(replace(me, pid=4194304 + 1)) is None


def test_the_age_of_a_process_that_was_started_just_now() -> None:
    begin = time.monotonic()
    with waited_for(subprocess.Popen(["sleep", "60"])) as process:
        time.sleep(0.3)
        identity = identify(process.pid)
        assert identity is not None
        age = age_s(identity)
        assert 0.25 < age < time.monotonic() - begin + 0.1  # the kernel tells its start in hundredths of a second
        process.kill()


def test_its_age_does_not_hang_on_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    before = age_s(myself())
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert before <= age_s(myself()) < before + 60
    assert age_s(replace(myself(), start_time=1 << 60)) == 0, "never negative"


def test_a_process_that_started_this_moment() -> None:
    assert ProcessUsage(1, None, 0.01, 0).cpu_percent == 0
