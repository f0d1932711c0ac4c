"""What is made of bench/boot's results: promises, tables, charts."""

from __future__ import annotations

from collections.abc import Iterator

from bench.chart import Bar, Group, Stack, bars, stacks
from bench.promises import number
from bench.results import Measure, Promise, Results, ratios
from bench.table import Table

LABELS = {"squib": "squib", "floor": "busybox httpd (the floor)"}
_TARGET, _GOAL = 1.4, 1.25
_KINDS = ("counted", "watched")

_PROMISED = {
    "counted": (("at listening", "instructions from power-on to listening, from an initramfs", 0.03),),
    "watched": (
        ("cpu", "QEMU's CPU time until ready, emulated, from ext4", 0.1),
        ("answer", "wall time to the first answer, emulated, from ext4", None),
    ),
}
"""What is held to the floor, its sentence, and its tolerance: wall times on a shared machine are no gate."""

_PHASES = {
    "squib": (
        ("kernel", "user"), ("start", "python"), ("PID 1: imports", "init"), ("PID 1: mounts, network", "opened"),
        ("server: fork", "server"), ("server: imports", "loop"), ("listening", "listening"),
    ),
    "floor": (("kernel", "user"), ("start", "begin"), ("network, httpd", "listening")),
}  # fmt: skip
"""Each phase of a counted boot, and the mark that ends it. `start`: the modules, then the interpreter or the shell."""

_DRAWN = {
    "kernel": "kernel", "start": "modules, interpreter", "PID 1: imports": "PID 1", "PID 1: mounts, network": "PID 1",
    "network, httpd": "PID 1", "server: fork": "PID 1", "server: imports": "imports", "listening": "imports",
}  # fmt: skip


def promises(measures: list[Measure]) -> list[Promise]:
    """How much longer than the floor, both ways, for each kernel."""
    found = []
    for case in _cases(measures):
        kind, _, kernel = case.partition(", ")
        short = kernel.removesuffix(" kernel").removesuffix("'s")
        for what, says, tolerance in _PROMISED[kind]:
            by = {m.whom: m for m in measures if m.what == what and m.case == case}
            values = [round(value, 3) for value in ratios(by["squib"], by["floor"])]
            name = f"boot.{what.rpartition(' ')[2]}-{short}"
            found.append(Promise(name, f"{says}, over the floor's ({kernel})", "×", values, _TARGET, _GOAL, tolerance))
    return found


def tables(results: Results) -> list[Table]:
    """The phases of counted boots, and the wall times."""
    found = [
        Table(
            f"A boot in phases, {case}", ("phase", *LABELS.values()), list(_phase_rows(results, case)),
            "Milliseconds of a clock that counts instructions, two nanoseconds each (QEMU, `-icount shift=1,sleep=off`).",
        )
        for case in _cases(results.measures, "counted")
    ]  # fmt: skip
    rows = [
        (case.partition(", ")[2], LABELS[who], *(_spread(results.find(what, who, case)) for what in ("ready", "cpu", "answer")))
        for case in _cases(results.measures, "watched")
        for who in LABELS
    ]
    found.append(
        Table(
            "As it is used: emulated, from ext4", ("kernel", "", "ready ms", "QEMU's CPU until then", "first answer ms"), rows,
            "Least, and median in brackets. From the launch of QEMU; the two take turns.",
        )
    )  # fmt: skip
    return found


def _phase_rows(results: Results, case: str) -> Iterator[tuple[str, str, str]]:
    taken = {who: dict(_phases(results, who, case)) for who in LABELS}
    for phase in dict.fromkeys([name for who in LABELS for name, _ in _PHASES[who]]):
        cells = [number(taken[who][phase], "") if phase in taken[who] else "" for who in LABELS]
        if phase == "network, httpd":
            continue  # beside the interpreter's own phases it says nothing: below, as one row
        yield phase, cells[0], cells[1]
    yield "network, httpd", "", number(taken["floor"]["network, httpd"], "")
    whole = [sum(taken[who].values()) for who in LABELS]
    yield "in all", number(whole[0], ""), number(whole[1], "")


def _phases(results: Results, who: str, case: str) -> Iterator[tuple[str, float]]:
    begin = 0.0
    for name, mark in _PHASES[who]:
        measure = results.find(f"at {mark}", who, case)
        if measure is None:
            continue
        end = min(measure.values)
        yield name, end - begin
        begin = end


def charts(results: Results) -> dict[str, str]:
    """Counted boots in parts, and wall times."""
    counted = [
        Stack(f"{who}, {case.partition(', ')[2].removesuffix(' kernel')}", _parts(results, who, case), own=who == "squib")
        for case in _cases(results.measures, "counted")
        for who in LABELS
    ]
    watched = [
        Group(case.partition(", ")[2], [_bar(measure) for who in LABELS if (measure := results.find("answer", who, case))])
        for case in _cases(results.measures, "watched")
    ]
    found = {}
    if counted:
        found["boot-phases.svg"] = stacks(
            "A boot, in instructions", "From an initramfs to listening, at two nanoseconds an instruction. Shorter is better.",
            counted, "ms",
        )  # fmt: skip
    found["boot-wall.svg"] = bars(
        "A boot, to the first answer", "Wall time under emulation, from an ext4 disk. Shorter is better.", watched, "ms"
    )
    return found


def _parts(results: Results, who: str, case: str) -> list[tuple[str, float]]:
    summed: dict[str, float] = {}
    for name, value in _phases(results, who, case):
        summed[_DRAWN[name]] = summed.get(_DRAWN[name], 0.0) + value
    return list(summed.items())


def _bar(measure: Measure) -> Bar:
    return Bar(LABELS[measure.whom], measure.median, min(measure.values), max(measure.values), own=measure.whom == "squib")


def _spread(measure: Measure | None) -> str:
    return "" if measure is None else f"{number(min(measure.values), '')} ({number(measure.median, '')})"


def _cases(measures: list[Measure], *kinds: str) -> list[str]:
    kinds = kinds or _KINDS
    return list(dict.fromkeys(m.case for m in measures if m.case.partition(", ")[0] in kinds))
