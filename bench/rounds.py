"""Rounds: each measures every contestant once, in an order that turns, so that drift and neighbours hit all alike."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")
ROUNDS = 7
QUICK_ROUNDS = 1


def alternate(contestants: Mapping[str, Callable[[], T]], rounds: int, what: str = "") -> dict[str, list[T]]:
    """Calls each contestant once a round: what they gave, by name, in the order of rounds. Tells on stderr how far it is."""
    found: dict[str, list[T]] = {name: [] for name in contestants}
    for number in range(rounds):
        if what:
            print(f"bench: {what}: round {number + 1} of {rounds}", file=sys.stderr)
        for name in _turned(tuple(contestants), number):
            found[name].append(contestants[name]())
    return found


def _turned(names: Sequence[str], by: int) -> Sequence[str]:
    by %= len(names)
    return (*names[by:], *names[:by])
