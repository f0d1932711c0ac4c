"""Rows of checks, for people and for programs: what `squib doctor` and `squib host check` print.

Imports nothing that needs more than click: a package that is missing is to be told, not to be met.
"""

from __future__ import annotations

from collections.abc import Sequence

from squib.cli.escaping import json_text
from squib.cli.table import print_table
from squib.errors import UnavailableError
from squib.model.findings import Level, Row

__all__ = ["exit_code", "print_checks", "report_json"]


def report_json(rows: Sequence[Row]) -> dict[str, object]:
    """The report (docs/json.md)."""
    checks = [{"name": row.name, "state": row.level.value, "found": row.found, "remedy": row.remedy or None} for row in rows]
    return {"ok": _all_there(rows), "checks": checks}


def exit_code(rows: Sequence[Row]) -> int:
    """0 where nothing is missing, warnings or not."""
    return 0 if _all_there(rows) else UnavailableError.exit_code


def print_checks(rows: Sequence[Row], *, as_json: bool, all_there: str, missing: str) -> None:
    """The table, the remedies, and in the end `all_there`, or `missing` with the names of what is, or what nobody knows."""
    if as_json:
        print(json_text(report_json(rows)))
        return
    print_table(("CHECK", "STATE", "FOUND"), [(row.name, row.level.value, row.found) for row in rows])
    for title, level in (("Missing", Level.MISSING), ("Could be better", Level.WARNING)):
        remedies: dict[str, list[str]] = {}
        for row in rows:
            if row.level is level and row.remedy:
                remedies.setdefault(row.remedy, []).append(row.name)
        if remedies:
            print(f"\n{title}:")
        for remedy, names in remedies.items():
            print(f"  {remedy}    # {', '.join(names)}")
    print(f"\n{_verdict(rows, all_there, missing)}")


def _verdict(rows: Sequence[Row], all_there: str, missing: str) -> str:
    lacking = [row.name for row in rows if row.level is Level.MISSING]
    unseen = [row.name for row in rows if row.unseen]
    if lacking:
        return f"{missing}: {', '.join(lacking)}"
    return f"Nothing is known to be missing, but not all could be looked at: {', '.join(unseen)}" if unseen else all_there


def _all_there(rows: Sequence[Row]) -> bool:
    return all(row.level is not Level.MISSING for row in rows)
