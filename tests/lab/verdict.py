"""What a run of the lab comes to: judged by what the guest wrote, and by nothing that only looks like success."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

from lab import layout

FAILED = 1


def given(folder: Path) -> bool:
    """Whether the guest came as far as a verdict, whatever that is."""
    return (folder / layout.VERDICT).is_file()


def judge(folder: Path) -> tuple[int, str]:
    """An exit status, and a sentence for people, from the results in `folder`. Only 0 is success."""
    try:
        verdict = json.loads((folder / layout.VERDICT).read_text(encoding="utf-8"))
        status = int(verdict["status"])
        seconds = float(verdict["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return FAILED, "the lab host ended without a verdict: its console says why"
    if status == layout.TIMED_OUT:
        return status, f"the tests were ended at their limit, after {seconds:.0f} s"
    try:
        counts = _counts(folder / layout.JUNIT)
    except (OSError, ET.ParseError, ValueError):
        return status or FAILED, "the tests left no whole junit.xml"
    said = ", ".join(f"{number} {what}" for what, number in counts.items() if number or what == "tests")
    if status:
        return status, f"pytest ended with status {status}: {said}"
    if counts["skipped"]:
        return FAILED, f"nothing may skip in the lab: {said}"
    if not counts["tests"] or counts["failures"] or counts["errors"]:
        return FAILED, f"its verdict and junit.xml contradict each other: {said}"
    return 0, f"passed: {said}, {seconds:.0f} s"


def merge(parts: list[Path], whole: Path) -> None:
    """One file of all suites, for programs; where one of `parts` is not there, or not whole, there is none."""
    suites = ET.Element("testsuites")
    try:
        for part in parts:
            suites.extend(ET.parse(part).getroot().iter("testsuite"))
    except (OSError, ET.ParseError):
        return
    ET.ElementTree(suites).write(whole, encoding="utf-8", xml_declaration=True)


def _counts(path: Path) -> dict[str, int]:
    suites = list(ET.parse(path).getroot().iter("testsuite"))
    return {what: sum(int(suite.get(what, "0")) for suite in suites) for what in ("tests", "failures", "errors", "skipped")}
