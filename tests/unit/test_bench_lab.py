"""bench/lab: from the lab's numbers to what is promised and shown. Nothing boots here."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from bench import lab as bench_lab
from bench.machine import Machine
from bench.problem import Problem
from bench.results import Results

TIMES = {
    "tuned": [{"answered_ms": 1000, "ready_ms": 900}, {"answered_ms": 1200, "ready_ms": 950}],
    "Debian's": [{"answered_ms": 2000, "ready_ms": 1900}, {"answered_ms": 2000, "ready_ms": 1800}],
}


def lab(monkeypatch: pytest.MonkeyPatch, folder: Path, status: int) -> list[str]:
    """In its place: a command that leaves these numbers, and what it was given."""
    asked: list[str] = []
    monkeypatch.setattr(bench_lab, "_TIMES", folder / "times.json")

    def run(command: tuple[str, ...], **_: object) -> subprocess.CompletedProcess[bytes]:
        asked.extend(command)
        (folder / "times.json").write_text(json.dumps(TIMES))
        return subprocess.CompletedProcess(command, status)

    monkeypatch.setattr(subprocess, "run", run)
    return asked


def test_a_promise_is_a_ratio_of_boots_in_the_same_round(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = lab(monkeypatch, tmp_path, 0)
    measures, (promise,) = bench_lab.measure(quick=False)
    assert asked[-2:] == ["--boot-rounds", "7"]
    assert (promise.values, promise.target) == ([0.5, 0.6], 0.75)
    results = Results(
        "firecracker", "now", False, Machine("a CPU", 2, 1024, "6.1", "a system", "3.11", "abc", {}), measures, [promise]
    )
    (table,) = bench_lab.tables(results)
    assert table.rows == [("tuned", "1,000 (1,100)", "900 (925)"), ("Debian's", "2,000 (2,000)", "1,800 (1,850)")]
    assert "tuned kernel" in bench_lab.charts(results)["lab-boot.svg"]


def test_a_lab_that_fails_measures_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lab(monkeypatch, tmp_path, 1)
    with pytest.raises(Problem, match="did not measure"):
        bench_lab.measure(quick=True)
