"""`squib doctor`: what this machine needs and has, with a remedy for each thing that is missing.

Imports nothing that needs more than click: a package that is missing is to be told, not to be met.
"""

from __future__ import annotations

import json

import click

from squib.app.doctor import examine
from squib.cli.progress import progress
from squib.cli.table import print_table
from squib.errors import UnavailableError
from squib.model.findings import Level, Row

__all__ = ["doctor", "report_json"]


@click.command()
@click.option("--retry", is_flag=True, help="Forget what is known of KVM here, and try it anew.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
def doctor(retry: bool, as_json: bool) -> int:
    """Look at everything that this machine needs and has.

    What is missing or could be better comes with a command to paste. Exits with 69 where something that squib needs is
    missing. Nothing is installed or changed; KVM is tried by booting a kernel in it, once for each boot of this machine.
    """
    with progress(quiet=as_json) as report:
        report("looking at this machine", None)
        rows = list(examine(retry=retry))
    if as_json:
        print(json.dumps(report_json(rows), indent=2, ensure_ascii=False))
    else:
        _print(rows)
    return 0 if _all_there(rows) else UnavailableError.exit_code


def report_json(rows: list[Row]) -> dict[str, object]:
    """The report, as `doctor --json` shows it (docs/json.md)."""
    checks = [{"name": row.name, "state": row.level.value, "found": row.found, "remedy": row.remedy or None} for row in rows]
    return {"ok": _all_there(rows), "checks": checks}


def _all_there(rows: list[Row]) -> bool:
    return all(row.level is not Level.MISSING for row in rows)


def _print(rows: list[Row]) -> None:
    print_table(("CHECK", "STATE", "FOUND"), [(row.name, row.level.value, row.found) for row in rows])
    wanting = [row for row in rows if row.level is not Level.OK]
    missing = [row.name for row in wanting if row.level is Level.MISSING]
    for title, level in (("Missing", Level.MISSING), ("Could be better", Level.WARNING)):
        remedies: dict[str, list[str]] = {}
        for row in wanting:
            if row.level is level and row.remedy:
                remedies.setdefault(row.remedy, []).append(row.name)
        if remedies:
            print(f"\n{title}:")
        for remedy, names in remedies.items():
            print(f"  {remedy}    # {', '.join(names)}")
    print(f"\nsquib needs what is missing here: {', '.join(missing)}" if missing else "\nEverything that squib needs is here.")
