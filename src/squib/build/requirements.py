"""What a distribution requires of those that are installed: its requirements (PEP 508), as they hold for this Python.

Requirements of an extra count where somebody asks for that extra: `requests[socks]`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from squib.build.distributions import Distribution, Distributions

if TYPE_CHECKING:
    from packaging.requirements import Requirement

__all__ = ["required"]


def required(distribution: Distribution, installed: Distributions) -> Iterator[tuple[Distribution, Distribution]]:
    """All distributions that `distribution` needs, each once, with one that requires it."""
    waiting: list[tuple[Distribution, frozenset[str]]] = [(distribution, frozenset())]
    known: dict[Distribution, frozenset[str]] = {distribution: frozenset()}
    while waiting:
        current, extras = waiting.pop(0)
        for requirement in _requirements(current, extras):
            other = installed.named(requirement.name)
            if other is None:
                continue
            asked = frozenset(requirement.extras)
            if other not in known:
                yield other, current
            elif asked <= known[other]:
                continue
            known[other] = known.get(other, frozenset()) | asked
            waiting.append((other, known[other]))


def _requirements(distribution: Distribution, extras: frozenset[str]) -> Iterator[Requirement]:
    if not distribution.requires:
        return
    from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
    from packaging.requirements import InvalidRequirement, Requirement

    for text in distribution.requires:
        try:
            requirement = Requirement(text)
            holds = requirement.marker is None or any(
                requirement.marker.evaluate({"extra": extra}) for extra in ("", *sorted(extras))
            )
        except (InvalidRequirement, UndefinedComparison, UndefinedEnvironmentName):
            continue  # pip would not have installed by it either
        if holds:
            yield requirement
