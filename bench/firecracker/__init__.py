"""bench/firecracker: what squib itself takes to start a machine in Firecracker, and what it costs beside one that runs.

Firecracker is the tests' made-up one, so nothing needs KVM: it notes when it listens, and when it is asked for InstanceStart.
squib's own time is from the start of `squib run` to that, without the time that the made-up one takes to come up, which is
measured beside it in each round. The artifact is there already. Once with no network, and, for root, once with a tap, an
address and a published port that squib makes for the machine, in a network namespace.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import NamedTuple

from bench.firecracker.host import set_up
from bench.machine import ROOT
from bench.problem import Problem
from bench.process import quiet_home, spent
from bench.promises import number
from bench.results import Measure, Promise, Results
from bench.rounds import QUICK_ROUNDS, ROUNDS, alternate
from bench.table import Table

__all__ = ["PROGRAMS", "charts", "measure", "tables"]

PROGRAMS: dict[str, list[str]] = {"python": [sys.executable, "--version"]}

_SQUIB = (sys.executable, "-m", "squib")
_FAKE = ROOT / "tests" / "fake_firecracker.py"
_NAME = "bench"
_UP_S = 20.0


class Start(NamedTuple):
    """Milliseconds from the command to InstanceStart, of CPU for the whole command; and squib's processes afterwards."""

    until_start_ms: float
    cpu_ms: float
    beside: float


def measure(*, quick: bool) -> tuple[list[Measure], list[Promise]]:
    """Starts, and the made-up Firecracker alone, in turns."""
    with tempfile.TemporaryDirectory(prefix="squib-bench-") as name:
        folder = Path(name)
        program = _fake(folder / "bin")
        environ = quiet_home(folder) | {"PATH": f"{program.parent}:{os.environ['PATH']}"}
        spent((*_SQUIB, "build", "clock", "-o", str(folder / "out"), "-q"), environ=environ, folder=folder)

        def squib(*words: str, within: tuple[str, ...] = ()) -> None:
            spent((*within, *_SQUIB, *words), environ=environ, folder=folder)

        with set_up(squib) if os.geteuid() == 0 else nullcontext() as within:
            calls: dict[str, Callable[[], Start]] = {
                "squib": lambda: _start(folder, environ, "none"),
                "fake": lambda: Start(_alone(program, folder), 0, 0),
            }
            if within is not None:
                calls["tap"] = lambda: _start(folder, environ, "host", within)
            for call in calls.values():
                call()  # the page cache
            found = alternate(calls, QUICK_ROUNDS if quick else ROUNDS, "firecracker")
    whole = [one.until_start_ms for one in found["squib"]]
    fake = [one.until_start_ms for one in found["fake"]]
    measures = [
        Measure("until InstanceStart", "squib run, with the fake", "", "ms", [round(value, 1) for value in whole]),
        Measure("until it listens", "the fake alone", "", "ms", [round(value, 1) for value in fake]),
        Measure("own", "squib", "", "ms", [round(a - b, 1) for a, b in zip(whole, fake, strict=True)]),
        Measure("cpu", "squib run --detach", "", "ms", [round(one.cpu_ms, 1) for one in found["squib"]]),
        Measure("beside", "squib", "", "processes", [one.beside for one in found["squib"]]),
    ]
    if tap := [one.until_start_ms for one in found.get("tap", ())]:
        measures += [
            Measure("until InstanceStart", "squib run with a tap, with the fake", "", "ms", [round(value, 1) for value in tap]),
            Measure("own, with a tap", "squib", "", "ms", [round(a - b, 1) for a, b in zip(tap, fake, strict=True)]),
        ]
    return measures, promises(measures)


def promises(measures: list[Measure]) -> list[Promise]:
    """What stands in the page."""
    by = {(m.what, m.whom): m.values for m in measures}
    tap = by.get(("own, with a tap", "squib"))
    with_a_tap = "the same, with a tap, a network and a published port made for the machine"
    return [
        Promise(
            "firecracker.start", "squib's own time, from `squib run` to InstanceStart", "ms", by["own", "squib"], target=150
        ),
        Promise(
            "firecracker.beside",
            "processes of squib beside a detached machine, once the command has ended",
            "",
            by["beside", "squib"],
            target=0,
            goal=0,
        ),
        *([Promise("firecracker.start-with-tap", with_a_tap, "ms", tap, target=400)] if tap else []),
    ]


def _fake(folder: Path) -> Path:
    folder.mkdir()
    spec = importlib.util.spec_from_file_location("fake_firecracker", _FAKE)
    if spec is None or spec.loader is None:
        raise Problem(f"{_FAKE} is not there")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    write: Callable[[Path], Path] = module.write
    return write(folder)


def _start(folder: Path, environ: dict[str, str], network: str, within: tuple[str, ...] = ()) -> Start:
    options = ("--vmm", "firecracker", "--no-jailer", "--network", network, "--detach", "--quiet", "--name", _NAME)
    run = (*within, *_SQUIB, "run", str(folder / "out"), *options)
    begin = time.monotonic_ns()
    took = spent(run, environ=environ, folder=folder)
    try:
        (log,) = (folder / "state/squib/machines").glob("*/firecracker.log")
        at = _noted(log, "InstanceStart")
        beside = sum(1 for line in _processes(folder) if b"firecracker" not in line)
    finally:
        spent((*within, *_SQUIB, "rm", "--force", _NAME), environ=environ, folder=folder)
    return Start((at - begin) / 1e6, took.cpu_ms, float(beside))


def _alone(program: Path, folder: Path) -> float:
    """Milliseconds until it listens."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        log = Path(name, "log")
        log.touch()
        begin = time.monotonic_ns()
        argv = (str(program), "--api-sock", "api.sock", "--id", "alone", "--log-path", "log", "--level", "Warning")
        process = subprocess.Popen(argv, cwd=name, stdin=subprocess.DEVNULL)
        try:
            while not log.stat().st_size:
                if process.poll() is not None or time.monotonic_ns() - begin > _UP_S * 1e9:
                    raise Problem("the made-up Firecracker did not come up")
                time.sleep(0.001)
        finally:
            process.kill()
            process.wait()
        return (_noted(log, "listening") - begin) / 1e6


def _noted(log: Path, what: str) -> int:
    """When that was, in nanoseconds of the monotonic clock."""
    found = re.search(rf"{what}.* at (\d+)$", log.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise Problem(f"the made-up Firecracker did not note {what}")
    return int(found[1])


def _processes(folder: Path) -> Iterator[bytes]:
    """The command lines of all processes of this bench's homes."""
    mark = f"XDG_STATE_HOME={folder / 'state'}".encode()
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                yield (entry / "cmdline").read_bytes()


def tables(results: Results) -> list[Table]:
    """All that was measured, in milliseconds."""
    rows = [
        (f"{m.whom}: {m.what}", number(min(m.values), ""), number(m.median, ""), number(max(m.values), ""))
        for m in results.measures
        if m.unit == "ms"
    ]
    return [Table("A start in Firecracker", ("", "least ms", "median ms", "most ms"), rows)]


def charts(results: Results) -> dict[str, str]:  # noqa: ARG001 - as every part has it
    """None: two numbers need no picture."""
    return {}
