"""docs/promises.md: each part's section between its two markers is written here, from results; what is around them, by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.machine import ROOT
from bench.problem import Problem
from bench.results import Promise, Results
from bench.table import Table, to_markdown

PAGE = ROOT / "docs" / "promises.md"
CHARTS = ROOT / "docs" / "charts"


def number(value: float, unit: str) -> str:
    """Three figures are what these measurements are worth."""
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    text = f"{value:,.{digits}f}"
    return f"{text} {unit}" if unit and unit != "×" else f"{text}{'×' if unit else ''}"


def table(results: Results) -> Table:
    """What is promised, what was measured, and whether it is kept."""
    rows = [
        (p.says, number(p.median, p.unit), f"{number(min(p.values), '')}–{number(max(p.values), '')}",
         f"≤ {number(p.target, p.unit)}", f"≤ {number(p.goal, p.unit)}" if p.goal is not None else "", _verdict(p))
        for p in results.promises
    ]  # fmt: skip
    return Table("", ("promise", "measured", "least–most", "target", "goal", ""), rows)


def write(results: Results, tables: Sequence[Table], charts: Mapping[str, str]) -> None:
    """Writes the part's charts, and its section of the page. Raises Problem where the page has no place for it."""
    page = with_section(PAGE.read_text(encoding="utf-8"), results.part, section(results, tables, charts))
    CHARTS.mkdir(parents=True, exist_ok=True)
    for name, svg in charts.items():
        (CHARTS / name).write_text(svg, encoding="utf-8")
    PAGE.write_text(page, encoding="utf-8")


def section(results: Results, tables: Sequence[Table], charts: Mapping[str, str]) -> str:
    """The part's section: promises, pictures, tables, and where it all is from."""
    pictures = [f"![{_alternative(name)}](charts/{name})\n" for name in charts]
    return "\n".join([to_markdown(table(results)), *pictures, *map(to_markdown, tables), _origin(results)])


def with_section(page: str, part: str, written: str) -> str:
    """`page` with `written` between the markers of `part`."""
    begin, end = f"<!-- bench:{part} -->\n", f"<!-- /bench:{part} -->"
    before, found, rest = page.partition(begin)
    _, found_too, after = rest.partition(end)
    if not found or not found_too:
        raise Problem(f"{PAGE} has no lines {begin.strip()} and {end} to write between")
    return f"{before}{begin}\n{written}\n{end}{after}"


def _verdict(promise: Promise) -> str:
    if promise.goal is not None and promise.median <= promise.goal:
        return "goal reached"
    return "kept" if promise.median <= promise.target else "missed"


def _origin(results: Results) -> str:
    machine = results.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    return (
        f"Measured {results.taken_at} at commit {machine.commit}: {machine.cpu}, {machine.cores} cores, "
        f"{machine.memory_mib:,} MiB, Linux {machine.kernel}, {machine.system}, "
        f"Python {machine.python}{'; ' if versions else ''}{versions}. "
        f"Every value: [{results.part}.json](../bench/results/{results.part}.json).\n"
    )


def _alternative(name: str) -> str:
    return Path(name).stem.replace("-", " ")
