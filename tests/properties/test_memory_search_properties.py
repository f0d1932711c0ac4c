"""The search for the least memory: it finds a threshold, it ends whatever the answers, and says no more than was tried."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from squib.model.memory_search import STEP_MIB, MemoryTrial, Range, least, next_size, recommended

LIMIT = 1024
ranges = st.builds(Range, st.integers(1, 200), st.integers(1, 512), st.just(LIMIT))


def search(works: Callable[[int, int], bool], within: Range) -> list[MemoryTrial]:
    """All trials; `works` is asked for a size and how often it was tried before."""
    trials: list[MemoryTrial] = []
    while (size := next_size(trials, within)) is not None:
        assert size % STEP_MIB == 0
        assert size >= within.floor_mib
        before = sum(one.mem_size_mib == size for one in trials)
        trials.append(MemoryTrial(size, "" if works(size, before) else "no"))
        assert len(trials) < 200
    return trials


@given(ranges, st.integers(1, LIMIT))
def test_a_threshold_is_found(within: Range, needed: int) -> None:
    trials = search(lambda size, _: size >= needed, within)
    found = least(trials)
    if found is None:
        assert max(one.mem_size_mib for one in trials) < needed
        return
    smallest = max(needed, within.floor_mib)
    assert found == -(-smallest // STEP_MIB) * STEP_MIB
    assert len(trials) <= 24


@given(ranges, st.sets(st.integers(0, LIMIT // 2).map(lambda n: n * STEP_MIB)), st.integers(0, 600))
def test_holes_above_are_not_overlooked_once_seen(within: Range, holes: set[int], needed: int) -> None:
    trials = search(lambda size, _: size >= needed and size not in holes, within)
    found = least(trials)
    if found is None:
        return
    assert all(one.works for one in trials if one.mem_size_mib >= found)
    assert sum(one.mem_size_mib == found for one in trials) >= 2
    assert any(one.mem_size_mib == recommended(found) and one.works for one in trials)
    assert any(one.mem_size_mib == found - STEP_MIB for one in trials) or found - STEP_MIB < within.floor_mib


@given(ranges, st.randoms(use_true_random=False))
def test_it_ends_whatever_the_answers(within: Range, random: object) -> None:
    answers = random
    trials = search(lambda _size, _before: answers.random() < 0.7, within)  # type: ignore[attr-defined]
    found = least(trials)
    assert found is None or all(one.works for one in trials if one.mem_size_mib >= found)


@given(st.integers(1, 10_000))
def test_the_margin(mib: int) -> None:
    assert recommended(mib) % 8 == 0
    assert recommended(mib) >= mib + max(8, mib // 4)
    assert recommended(mib) < mib + max(8, mib // 4) + 8
