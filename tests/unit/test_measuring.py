"""Measuring memory without a machine: what a console may not say, and how trials become an answer."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from squib.app import measuring
from squib.app.measuring import Measured, measure_memory
from squib.app.running import Running
from squib.errors import GuestError, HostError, UsageError
from squib.model.appliance import Appliance, NetworkSettings
from squib.model.image import Artifact, KernelRecord, Manifest
from squib.model.machine import Accel, VmmChoice
from squib.model.memory_search import MemoryTrial
from squib.model.progress import silent
from squib.model.run import RunSpec
from squib.vmm.console_log import ConsoleLog
from squib.vmm.diagnosis import NotReadyInTimeError, explain_deadline, suspect_memory

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


class Host:
    """Sizes that take too long, so often; the others work."""

    def __init__(self, slow: dict[int, int]) -> None:
        self.slow = slow
        self.tried: list[tuple[int, float]] = []

    def attempt(self, spec: RunSpec) -> MemoryTrial:
        size = spec.mem_size_mib or 0
        self.tried.append((size, spec.ready_timeout_s))
        if self.slow.get(size, 0) > 0:
            self.slow[size] -= 1
            return MemoryTrial(size, "not ready in time", timed_out=True)
        return MemoryTrial(size, "", 50.0)


def decided(host: Host) -> MemoryTrial:
    return measuring._decided(host.attempt, 32, 128, RunSpec(ready_timeout_s=60), silent)


def test_a_time_out_is_no_verdict() -> None:
    host = Host({32: 1})
    assert decided(host).works
    assert host.tried == [(32, 60), (128, 60), (32, 200)], "in time that goes by what ample memory took"


def test_what_takes_too_long_while_ample_memory_does_not_is_too_little() -> None:
    assert not decided(Host({32: 99})).works


def test_a_host_that_is_too_busy_decides_nothing() -> None:
    with pytest.raises(HostError, match="undecided: the host was too busy") as caught:
        decided(Host({32: 99, 128: 99}))
    assert "--timeout 180" in caught.value.hint


def test_a_time_out_is_known_as_one() -> None:
    error = explain_deadline(ConsoleLog(), timeout=5, elsewhere="elsewhere")
    assert isinstance(suspect_memory(error, mem_size_mib=32, ample_mib=64), NotReadyInTimeError)


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
