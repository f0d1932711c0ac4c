"""`squib measure memory` with real boots: what it finds is what it says, and an interrupt leaves nothing running."""

from __future__ import annotations

import json
import signal
import time

import pytest

from program import Squib

pytestmark = [pytest.mark.vm, pytest.mark.usefixtures("qemu"), pytest.mark.timeout(600)]


def test_the_least_memory_with_the_distributions_kernel(squib: Squib) -> None:
    """From the least that is let through on: the fewest boots that an answer takes."""
    refused = squib.run("run", "clock", "--memory", "16M").stderr
    floor = int(refused.partition("under ")[2].partition(" MiB")[0])
    measured = json.loads(squib.ok("measure", "memory", "clock", "--memory", f"{floor}M", "--json", timeout=500))
    least, trials = measured["least_mib"], measured["trials"]
    assert measured["refused_below_mib"] == floor <= least <= 128
    assert sum(one["works"] for one in trials if one["memory_mib"] == least) == 2
    assert trials[-1] == {**trials[-1], "memory_mib": measured["recommended_mib"], "works": True, "problem": None}
    assert measured["recommended_mib"] >= least + 8
    assert json.loads(squib.ok("ps", "--json")) == []


def test_an_interrupt_leaves_nothing(squib: Squib) -> None:
    process = squib.start("measure", "memory", "clock")
    deadline = time.monotonic() + 100
    while len(squib.processes()) < 2 and time.monotonic() < deadline:  # squib, and QEMU
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said, told = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "")
    assert told.splitlines()[-1] == "squib: interrupted; nothing is left running"
    assert squib.processes() == []
    assert json.loads(squib.ok("ps", "--json")) == []
