"""bench/http: what a request costs, against nginx's `return 200`, the seed's own server, uvicorn and granian.

Each server has one core and wrk the other. All give the same 40 bytes. What counts is the CPU time of a request: wall times on
a shared machine are its neighbours' as well. One scenario has all servers; from there one thing at a time is changed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec

from bench.http.load import Load, Told, run
from bench.http.servers import PROGRAMS, Server, serving
from bench.http.shown import BROWSER, DIFFER, LOGGED, MAIN_CASE, UNLIKE, charts, promises, tables
from bench.process import cpu_us, resident_mib
from bench.results import Measure, Promise
from bench.rounds import QUICK_ROUNDS, ROUNDS, alternate

__all__ = ["PROGRAMS", "charts", "measure", "tables"]

_WARM_S, _ROUND_S, _QUICK_S = 1, 2, 1  # whole seconds are what wrk takes


class Scenario(msgspec.Struct, frozen=True):
    """`name` as it stands in results and tables."""

    name: str
    servers: tuple[str, ...]
    load: Load = Load()
    logging: str = "off"


MAIN = Scenario(MAIN_CASE, ("squib", "nginx", "seed", "granian", "uvicorn"))
_PAIR = ("squib", "nginx")
SCENARIOS = (
    MAIN,
    Scenario(BROWSER, ("squib", "nginx", "seed"), Load(headers="browser")),
    Scenario(DIFFER, ("squib", "nginx", "seed"), Load(differs="target")),
    Scenario("twelve headers, no two targets alike", _PAIR, Load(headers="browser", differs="target")),
    Scenario(UNLIKE, _PAIR, Load(headers="browser", differs="all")),
    Scenario("1 connection", _PAIR, Load(connections=1)),
    Scenario("512 connections", _PAIR, Load(connections=512)),
    Scenario("16 requests at once", _PAIR, Load(pipelined=16)),
    Scenario(LOGGED, ("squib", "nginx", "seed"), logging="on"),
    Scenario("logged, by nginx in a buffer", _PAIR, logging="buffered"),
)


def measure(*, quick: bool) -> tuple[list[Measure], list[Promise]]:
    """All scenarios."""
    measures: list[Measure] = []
    for scenario in SCENARIOS:
        measures += _scenario(scenario, quick=quick)
    return measures, promises(measures)


def _scenario(scenario: Scenario, *, quick: bool) -> list[Measure]:
    seconds = _QUICK_S if quick else _ROUND_S
    found: list[Measure] = []
    with tempfile.TemporaryDirectory(prefix="squib-bench-") as name, ExitStack() as stack:
        started = {
            who: stack.enter_context(serving(who, Path(name) / who, _logging(who, scenario))) for who in scenario.servers
        }
        for server in started.values():
            run(server.port, scenario.load, _WARM_S)
        calls = {who: _once(server, scenario.load, seconds) for who, server in started.items()}
        rounds = alternate(calls, QUICK_ROUNDS if quick else ROUNDS, f"http: {scenario.name}")
        for who, values in rounds.items():
            found += _measures(who, scenario.name, values)
            if scenario is MAIN:
                found.append(Measure("resident", who, scenario.name, "MiB", [round(resident_mib(started[who].pid), 2)]))
    return found


def _logging(who: str, scenario: Scenario) -> str:
    return "on" if scenario.logging == "buffered" and who != "nginx" else scenario.logging


def _once(server: Server, load: Load, seconds: int) -> Callable[[], tuple[float, Told]]:
    def once() -> tuple[float, Told]:
        before = cpu_us(server.pid)
        told = run(server.port, load, seconds)
        return (cpu_us(server.pid) - before) / told.requests, told

    return once


def _measures(who: str, case: str, values: list[tuple[float, Told]]) -> list[Measure]:
    told = [found for _, found in values]
    return [
        Measure("cpu", who, case, "µs", [round(cpu, 3) for cpu, _ in values]),
        Measure("rate", who, case, "1/s", [round(one.requests / one.duration_us * 1e6) for one in told]),
        Measure("p50", who, case, "ms", [one.p50_us / 1000 for one in told]),
        Measure("p90", who, case, "ms", [one.p90_us / 1000 for one in told]),
        Measure("p99", who, case, "ms", [one.p99_us / 1000 for one in told]),
        Measure("p99.9", who, case, "ms", [one.p999_us / 1000 for one in told]),
    ]
