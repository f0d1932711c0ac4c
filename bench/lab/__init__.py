"""bench/lab: how long the clock takes from the start of a real Firecracker to its first answer, with each kernel.

Both boot in one lab (docs/lab.md), in turns. Emulation within emulation: what counts is one kernel over the other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

from bench.chart import Bar, Group, bars
from bench.machine import ROOT
from bench.problem import Problem
from bench.promises import number
from bench.results import Measure, Promise, Results, ratios
from bench.rounds import QUICK_ROUNDS, ROUNDS
from bench.table import Table

__all__ = ["PROGRAMS", "charts", "measure", "tables"]

PROGRAMS: dict[str, list[str]] = {"qemu": ["qemu-system-x86_64", "--version"]}

TUNED, DEBIAN = "tuned", "Debian's"
ANSWERED, READY = "first answer", "ready, by the guest's clock"
_TEST = "tests/lab/test_boot_times.py"
_TIMES = ROOT / "build/lab/picked/results/boot-times.json"
_FIELDS = {ANSWERED: "answered_ms", READY: "ready_ms"}


def measure(*, quick: bool) -> tuple[list[Measure], list[Promise]]:
    """As the lab has it: one boot of the lab host for all rounds."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    command = (sys.executable, "-m", "lab", _TEST, "--boot-rounds", str(rounds))
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    if subprocess.run(command, cwd=ROOT, env=environment, stdout=sys.stderr, check=False).returncode:
        raise Problem("the lab did not measure: what it says is above")
    found = json.loads(_TIMES.read_text(encoding="utf-8"))
    measures = [
        Measure(what, kernel, "", "ms", [float(boot[field]) for boot in found[kernel]])
        for what, field in _FIELDS.items()
        for kernel in (TUNED, DEBIAN)
    ]
    return measures, promises(measures)


def promises(measures: list[Measure]) -> list[Promise]:
    """What the tuned kernel is worth."""
    by = {(m.what, m.whom): m for m in measures}
    over = [round(value, 3) for value in ratios(by[ANSWERED, TUNED], by[ANSWERED, DEBIAN])]
    says = "cold to the first answer in Firecracker, the tuned kernel over Debian's"
    return [Promise("lab.boot", says, "×", over, target=0.75, goal=0.5, tolerance=0.25)]


def tables(results: Results) -> list[Table]:
    """Both kernels."""
    rows = [(kernel, *(_spread(results.find(what, kernel)) for what in _FIELDS)) for kernel in (TUNED, DEBIAN)]
    return [Table("In the lab, ms", ("kernel", *_FIELDS), rows, "Least, and median in brackets.")]


def charts(results: Results) -> dict[str, str]:
    """One."""
    rows = [
        Bar(f"{kernel} kernel", found.median, min(found.values), max(found.values), own=kernel == TUNED)
        for kernel in (TUNED, DEBIAN)
        if (found := results.find(ANSWERED, kernel)) is not None
    ]
    says = "milliseconds from the start of Firecracker, in the lab: emulation within emulation"
    return {"lab-boot.svg": bars("Cold to the first answer", says, [Group("", rows)], "ms")}


def _spread(found: Measure | None) -> str:
    return "" if found is None else f"{number(min(found.values), '')} ({number(found.median, '')})"
