"""bench/cli: how long each verb takes to start: its `--help`, and the verbs that do no more than look.

Beside them stands the same interpreter with nothing to do. Wall time is what a person waits; CPU time is what a busy machine
leaves comparable.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

from bench.chart import Bar, Group, bars
from bench.process import Spent, quiet_home, spent
from bench.promises import number
from bench.results import Measure, Promise, Results, ratios
from bench.rounds import QUICK_ROUNDS, ROUNDS, alternate
from bench.table import Table
from squib.cli.main import VERBS

__all__ = ["PROGRAMS", "charts", "measure", "tables"]

PROGRAMS: dict[str, list[str]] = {"python": [sys.executable, "--version"]}

NOTHING = "python3 -c pass"
HELP = "squib --help"
_LOOKS = ("ps", "ps --json", "schema", "completion bash", "build --show tree", "run --show machine", "doctor")
"""What is typed often, and does no more than look."""


def commands() -> dict[str, tuple[str, ...]]:
    """Every command that is measured, as people type it → argv."""
    squib = (sys.executable, "-m", "squib")
    verbs = [f"squib {verb} --help" for verb in sorted(VERBS)]
    typed = [HELP, "squib --version", *verbs, *(f"squib {line}" for line in _LOOKS)]
    return {NOTHING: (sys.executable, "-c", "pass")} | {line: (*squib, *line.split()[1:]) for line in typed}


def measure(*, quick: bool) -> tuple[list[Measure], list[Promise]]:
    """All of them, in turns."""
    with tempfile.TemporaryDirectory(prefix="squib-bench-") as name:
        environ = quiet_home(Path(name))
        calls = {
            # doctor tells by its exit code that something is missing: that is no failure here.
            line: partial(spent, argv, environ=environ, folder=Path(name), may_fail="doctor" in argv)
            for line, argv in commands().items()
        }
        for call in calls.values():
            call()  # byte code, the kernel's package, the page cache
        found = alternate(calls, QUICK_ROUNDS if quick else ROUNDS, "cli")
    measures = [one for line, values in found.items() for one in _measures(line, values)]
    return measures, promises(measures)


def _measures(line: str, values: list[Spent]) -> list[Measure]:
    return [
        Measure("wall", line, "", "ms", [round(one.wall_ms, 1) for one in values]),
        Measure("cpu", line, "", "ms", [round(one.cpu_ms, 1) for one in values]),
    ]


def promises(measures: list[Measure]) -> list[Promise]:
    """What a person waits for the first help, and how much of the processor that is."""
    by = {(m.what, m.whom): m for m in measures}
    over = [round(value, 3) for value in ratios(by["cpu", HELP], by["cpu", NOTHING])]
    return [
        Promise("cli.help", f"`{HELP}`, wall time", "ms", by["wall", HELP].values, target=150),
        Promise("cli.help-cpu", f"`{HELP}`, CPU over `{NOTHING}`", "×", over, target=8, tolerance=0.2),
    ]


def tables(results: Results) -> list[Table]:
    """All commands."""
    lines = list(dict.fromkeys(m.whom for m in results.measures))
    rows = [(f"`{line}`", *(_spread(results.find(what, line)) for what in ("wall", "cpu"))) for line in lines]
    return [Table("Start of each command", ("", "wall ms", "CPU ms"), rows, "Least, and median in brackets.")]


def charts(results: Results) -> dict[str, str]:
    """CPU time of all commands, longest last."""
    found = sorted((m for m in results.measures if m.what == "cpu"), key=lambda m: m.median)
    shown = [Bar(m.whom, m.median, min(m.values), max(m.values), own=m.whom != NOTHING) for m in found]
    says = "CPU time, everything in the page cache. Shorter is better."
    return {"cli-start.svg": bars("What a command costs to start", says, [Group("", shown)], "ms")}


def _spread(measure: Measure | None) -> str:
    return "" if measure is None else f"{number(min(measure.values), '')} ({number(measure.median, '')})"
