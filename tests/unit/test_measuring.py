"""Measuring memory without a machine: what a console may not say, and how trials become an answer."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from squib.app import measuring
from squib.app.measuring import Measured, measure_memory
from squib.app.running import Running
from squib.errors import GuestError, UsageError
from squib.model.appliance import Appliance, NetworkSettings
from squib.model.image import Artifact, KernelRecord, Manifest
from squib.model.machine import Accel, VmmChoice
from squib.model.memory_search import MemoryTrial
from squib.model.progress import silent
from squib.model.run import RunSpec

CHOICE = VmmChoice(Accel.TCG, "because")
RUNNING = cast("Running", None)


def artifact(ports: tuple[int, ...] = (80,)) -> Artifact:
    appliance = Appliance("shop", "a:b", Path("/"), network=NetworkSettings(ports))
    return Artifact(Path("/out"), Manifest("0", 2, appliance, KernelRecord("6.1", "t", 17), (), ()))


def trials(monkeypatch: pytest.MonkeyPatch, needed: int, spec: RunSpec) -> Measured:
    def pretend(running: Running, artifact: Artifact, spec: RunSpec, watcher: measuring._Watcher) -> MemoryTrial:
        watcher.choice = CHOICE
        size = spec.mem_size_mib or 0
        return MemoryTrial(size, "" if size >= needed else "no")

    monkeypatch.setattr(measuring, "_try", pretend)
    return measure_memory(RUNNING, artifact(), spec, silent)


def test_from_what_the_appliance_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = trials(monkeypatch, 28, RunSpec())
    assert (measured.least_mib, measured.floor_mib, measured.choice) == (28, 24, CHOICE)
    assert measured.trials[0].mem_size_mib == 128
    assert measured.trials[-1].mem_size_mib == 40


def test_upward_where_that_is_too_little(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = trials(monkeypatch, 200, RunSpec(mem_size_mib=64))
    assert [one.mem_size_mib for one in measured.trials[:3]] == [64, 128, 256]
    assert measured.least_mib == 200


def test_nothing_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = trials(monkeypatch, 10_000, RunSpec())
    assert measured.least_mib is None
    assert max(one.mem_size_mib for one in measured.trials) == 2048


def test_without_a_port_there_is_nothing_to_ask() -> None:
    with pytest.raises(UsageError, match="publishes no port"):
        measure_memory(RUNNING, artifact(()), RunSpec(), silent)


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        ((b"[ 9.1] Out of memory: Killed process 27 (init)\n",), "out of memory"),
        ((b"[ 9.1] Out of mem", b"ory: Killed", b" process 27\n"), "out of memory"),
        ((b"squib.restart abi=3 attempt=1 delay_ms=100 cause=signal:9\n",), "started again"),
    ],
)
def test_what_a_console_may_not_say(pieces: tuple[bytes, ...], said: str) -> None:
    watcher = measuring._Watcher()
    with pytest.raises(GuestError, match=said):
        for piece in pieces:
            watcher.output(piece)


def test_other_lines_are_no_matter() -> None:
    watcher = measuring._Watcher()
    watcher.output(b"squib.ready abi=3 uptime_ms=900 listen=tcp:0.0.0.0:80\nOut of memory\nINF [http] responding to 3\n")
