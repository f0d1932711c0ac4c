"""`python -m bench.compare [PART]…`: the regression gate. Exits 1 where a ratio got worse than its tolerance allows.

Compares bench/results (what `make bench` has just written) with the same files in git's HEAD, or those in --with FOLDER. Only
promises with a tolerance are compared: ratios within one run, which another machine may be expected to show alike.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from bench.machine import ROOT
from bench.problem import Problem
from bench.promises import number
from bench.results import FOLDER, Results, decode, load, scratch
from bench.table import Table, to_terminal


def compared(old: Results, new: Results) -> tuple[list[tuple[str, ...]], list[str]]:
    """Rows of a table, and the names of the promises that are worse than they may be, or gone."""
    rows: list[tuple[str, ...]] = []
    worse: list[str] = []
    now = {promise.name: promise for promise in new.promises}
    for promise in old.promises:
        if promise.tolerance is None:
            continue
        found = now.get(promise.name)
        most = promise.median * (1 + promise.tolerance)
        bad = found is None or found.median > most
        if bad:
            worse.append(promise.name)
        measured = "gone" if found is None else number(found.median, found.unit)
        rows.append(
            (
                promise.name,
                number(promise.median, promise.unit),
                measured,
                f"≤ {number(most, promise.unit)}",
                "WORSE" if bad else "good",
            )
        )
    return rows, worse


def committed(part: str) -> Results:
    """What HEAD has. Raises Problem."""
    argv = ("git", "-C", str(ROOT), "show", f"HEAD:bench/results/{part}.json")
    done = subprocess.run(argv, capture_output=True, check=False)
    if done.returncode:
        raise Problem(f"no results of {part} are committed: {done.stderr.decode(errors='replace').strip()}")
    return decode(done.stdout)


def main() -> int:
    """Gives the exit status: 0 nothing is worse, 1 something is, 2 there is nothing to compare."""
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help="without any: all that have results")
    parser.add_argument("--with", dest="folder", type=Path, help="a folder of results instead of HEAD's")
    parser.add_argument("--quick", action="store_true", help="compare those of --quick")
    chosen = parser.parse_args()
    new_folder = scratch() if chosen.quick else FOLDER
    parts = chosen.parts or sorted(path.stem for path in new_folder.glob("*.json"))
    rows: list[tuple[str, ...]] = []
    worse: list[str] = []
    try:
        for part in parts:
            old = load(part, chosen.folder) if chosen.folder else committed(part)
            found, bad = compared(old, load(part, new_folder))
            rows += found
            worse += bad
    except Problem as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 2
    if not rows:
        print("bench: there is nothing to compare", file=sys.stderr)
        return 2
    print(to_terminal(Table("", ("promise", "committed", "now", "may be", ""), rows)))
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
