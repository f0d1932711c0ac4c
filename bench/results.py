"""Results, as they are kept in bench/results/PART.json: every single value, so that whoever reads can judge the noise.

A `Measure` is the values of one thing, one a round. A `Promise` is a number that docs/promises.md holds squib to: lower is
better, always. Where it is a ratio, it is that of values from the same round, and `bench.compare` watches it.
"""

from __future__ import annotations

import statistics
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench.machine import ROOT, Machine
from bench.problem import Problem

FOLDER = ROOT / "bench" / "results"


class Measure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`what` was measured (`cpu`), of `whom` (`nginx`), under which circumstances (`case`, may be empty), in `unit`."""

    what: str
    whom: str
    case: str
    unit: str
    values: list[float]

    @property
    def median(self) -> float:
        """The middle of the values."""
        return statistics.median(self.values)


class Promise(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`name` is fixed (`http.cpu`), `says` is the sentence; `values` one a round, of which the median counts.

    It is kept where the median is at most `target`; `goal` is what is hoped for. `unit` is "×" for a ratio. `tolerance`: by
    which share it may be worse than the committed one before `bench.compare` objects; None: it does not look.
    """

    name: str
    says: str
    unit: str
    values: list[float]
    target: float
    goal: float | None = None
    tolerance: float | None = None

    @property
    def median(self) -> float:
        """The middle of the values."""
        return statistics.median(self.values)


class Results(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of one part's."""

    part: str
    taken_at: str
    quick: bool
    machine: Machine
    measures: list[Measure]
    promises: list[Promise]

    def find(self, what: str, whom: str, case: str = "") -> Measure | None:
        """The one that is wanted, or None where it was not measured."""
        return next((m for m in self.measures if (m.what, m.whom, m.case) == (what, whom, case)), None)


def ratios(over: Measure, under: Measure) -> list[float]:
    """One a round: both values are from it, so what slowed the whole machine down is in both."""
    return [a / b for a, b in zip(over.values, under.values, strict=True)]


def save(results: Results, folder: Path | None = None) -> Path:
    """Writes PART.json into `folder`, bench/results without one, and gives its path."""
    path = (folder or FOLDER) / f"{results.part}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    return path


def load(part: str, folder: Path | None = None) -> Results:
    """What `save` wrote. Raises Problem."""
    path = (folder or FOLDER) / f"{part}.json"
    try:
        return decode(path.read_bytes())
    except FileNotFoundError:
        raise Problem(f"there is no {path}; make bench-{part} measures it") from None


def decode(data: bytes) -> Results:
    """The results in the bytes of a file. Raises Problem."""
    try:
        return msgspec.json.decode(data, type=Results)
    except msgspec.MsgspecError as error:
        raise Problem(f"these are no results: {error}") from None


def scratch() -> Path:
    """Where --quick's results go."""
    return FOLDER / "quick"


def now() -> str:
    """The time, for `taken_at`."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
