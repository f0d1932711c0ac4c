"""Finding the least memory that is enough, by trying: which size to try next, and what all trials say together. Pure.

The rule: an answer counts only as far as it was tried. The least size has worked twice, the next smaller one was tried or is
refused, the recommended one has worked, and nothing at or above the least has failed. Memory is no clean threshold: what lies
where depends on its size, so a size can fail where a smaller one works; then the answer is above it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["STEP_MIB", "MemoryTrial", "Range", "least", "next_size", "recommended"]

STEP_MIB = 4
"""All sizes that are tried are multiples of it; finer than that, boots of one size already differ."""

_CONFIRMATIONS = 2
_MARGIN_DIVISOR = 4
_MARGIN_LEAST_MIB = 8
_ROUND_MIB = 8


@dataclass(frozen=True, slots=True)
class MemoryTrial:
    """One boot with so much memory; `problem` is empty where it booted, answered its load and stopped.

    `timed_out`: all that is known is that it took too long, which says nothing of memory as long as the host may be busy.
    """

    mem_size_mib: int
    problem: str = ""
    boot_s: float | None = None
    requests: int = 0
    timed_out: bool = False

    @property
    def works(self) -> bool:
        """Whether that was enough."""
        return not self.problem


@dataclass(frozen=True, slots=True)
class Range:
    """`floor_mib`: less is refused without a boot; `start_mib`: tried first; `limit_mib`: nothing above is tried."""

    floor_mib: int
    start_mib: int
    limit_mib: int


def recommended(least_mib: int) -> int:
    """What to set where `least_mib` is enough: a quarter more, at least 8 MiB, rounded up to a multiple of 8.

    The margin is for what a trial does not see: an app that keeps more as it runs, more connections, another host's firmware.
    """
    wanted = least_mib + max(least_mib // _MARGIN_DIVISOR, _MARGIN_LEAST_MIB)
    return -(-wanted // _ROUND_MIB) * _ROUND_MIB


def least(trials: Sequence[MemoryTrial]) -> int | None:
    """The least size that worked and has no failure at or above it."""
    failed = max((one.mem_size_mib for one in trials if not one.works), default=0)
    return min((one.mem_size_mib for one in trials if one.works and one.mem_size_mib > failed), default=None)


def next_size(trials: Sequence[MemoryTrial], within: Range) -> int | None:
    """The size to try now, or None where all is known."""
    enough = least(trials)
    if enough is None:
        return _upward(trials, within)
    # The largest multiple of the step that is known, or held, to be too little.
    refused = (within.floor_mib - 1) // STEP_MIB * STEP_MIB
    below = max((one.mem_size_mib for one in trials if not one.works), default=refused)
    below = max(below, refused)
    if enough - below > STEP_MIB:
        return (below + enough) // 2 // STEP_MIB * STEP_MIB
    if sum(one.mem_size_mib == enough for one in trials) < _CONFIRMATIONS:
        return enough
    advice = recommended(enough)
    return None if any(one.mem_size_mib == advice for one in trials) else advice


def _upward(trials: Sequence[MemoryTrial], within: Range) -> int | None:
    tried = max((one.mem_size_mib for one in trials), default=0)
    first = -(-max(within.start_mib, within.floor_mib) // STEP_MIB) * STEP_MIB
    size = max(2 * tried, first) if trials else first
    return size if size <= max(within.limit_mib, first) and size > tried else None
