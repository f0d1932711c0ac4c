"""A boot as a timeline, and what an appliance allows itself: values only."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BootReport", "Finding", "Phase", "Step", "Timeline"]


@dataclass(frozen=True, slots=True)
class Step:
    """A part of a phase; milliseconds since the VMM was started."""

    name: str
    begin_ms: float
    end_ms: float

    @property
    def takes_ms(self) -> float:
        """How long it takes."""
        return self.end_ms - self.begin_ms


@dataclass(frozen=True, slots=True)
class Phase(Step):
    """One stretch of a boot, and in a few words what happens in it; `steps` are within it."""

    what: str
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Timeline:
    """`phases` follow each other without a gap, from the VMM's start to the end of the boot.

    `ready_ms`: when the readiness line was written; `end_ms`: when the first answer was there, or readiness where nothing is
    published. `spread_ms`: how far the guest's lines disagree about when its clock began (docs/boot-report.md, "Two clocks").
    """

    phases: tuple[Phase, ...]
    ready_ms: float
    end_ms: float
    spread_ms: float


@dataclass(frozen=True, slots=True)
class Finding:
    """A budget of the appliance, and what was measured; `measured` None: it could not be, and that is not kept either."""

    name: str
    limit: int
    measured: float | None

    @property
    def kept(self) -> bool:
        """Whether it was measured, and is no more than the limit."""
        return self.measured is not None and self.measured <= self.limit


@dataclass(frozen=True, slots=True)
class BootReport:
    """All rounds, in their order; `used_mib`: the least memory that was taken at readiness, None where no guest told."""

    rounds: tuple[Timeline, ...]
    rootfs_mib: float
    used_mib: float | None
    budgets: tuple[Finding, ...]

    @property
    def quickest(self) -> Timeline:
        """The round that whatever else this host did disturbed least: what counts, and what is drawn."""
        return min(self.rounds, key=lambda timeline: timeline.end_ms)

    @property
    def ok(self) -> bool:
        """Whether every budget is kept."""
        return all(finding.kept for finding in self.budgets)
