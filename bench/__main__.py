"""`python -m bench [PART]… [--quick] [--render]`: measures parts, keeps their results, and writes what is made from them."""

from __future__ import annotations

import argparse
import compileall
import importlib
import sys
from typing import Protocol, cast

from bench import promises
from bench.machine import ROOT, describe
from bench.problem import Problem
from bench.results import Measure, Promise, Results, load, now, save, scratch
from bench.table import Table, to_terminal

PARTS = ("http", "boot", "build", "cli", "firecracker", "lab")


class Part(Protocol):
    """What the package `bench.PART` defines."""

    PROGRAMS: dict[str, list[str]]

    def measure(self, *, quick: bool) -> tuple[list[Measure], list[Promise]]:
        """Does the measuring."""

    def tables(self, results: Results) -> list[Table]:
        """What is printed, and stands in docs/promises.md."""

    def charts(self, results: Results) -> dict[str, str]:
        """SVG pictures by file name."""


def part_named(name: str) -> Part | None:
    """The package of a part, or None where this checkout has none of that name."""
    try:
        return cast("Part", importlib.import_module(f"bench.{name}"))
    except ModuleNotFoundError as error:
        if error.name != f"bench.{name}":
            raise
        return None


def main() -> int:
    """Gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; without any: all")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one round, to see that it works; kept in bench/results/quick",
    )
    parser.add_argument("--render", action="store_true", help="measure nothing: write tables and charts anew")
    chosen = parser.parse_args()
    if unknown := set(chosen.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    wanted = {name: part for name in chosen.parts or PARTS if (part := part_named(name)) is not None}
    status = 0
    for name, part in wanted.items():
        try:
            show(part, load(name) if chosen.render else take(name, part, quick=chosen.quick))
        except Problem as problem:
            print(f"bench: {name}: {problem}", file=sys.stderr)
            status = 1  # the others are measured all the same
    return status


def show(part: Part, results: Results) -> None:
    """Prints tables; writes them and the charts where docs/promises.md has its place for them, unless it was a quick look."""
    tables = part.tables(results)
    for table in (promises.table(results), *tables):
        print(to_terminal(table))
    if not results.quick:
        promises.write(results, tables, part.charts(results))


def take(name: str, part: Part, *, quick: bool) -> Results:
    """Measures a part and keeps what came out."""
    taken_at = now()
    machine = describe(part.PROGRAMS)  # first: it tells what is not installed
    # As an installed squib has it: a checkout's byte code may be missing or old, also for good (PYTHONDONTWRITEBYTECODE).
    compileall.compile_dir(ROOT / "src", quiet=1)
    measures, made = part.measure(quick=quick)
    results = Results(name, taken_at, quick, machine, measures, made)
    print(f"bench: {name}: results in {save(results, scratch() if quick else None)}", file=sys.stderr)
    return results


if __name__ == "__main__":
    sys.exit(main())
