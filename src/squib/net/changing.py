"""From what was done to what is wanted: the steps, as values; and their interpreters: doing them, or telling them.

The record is the truth about what squib did. A change is written down before it is done, so after a crash at any moment all
that may have been done is in it, and undoing is right for what was not done as well. Undoing goes backwards.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from squib.errors import SquibError

__all__ = ["Do", "Keeper", "Step", "Undo", "carry_out", "planned", "undoing"]


class Change(Protocol):
    """What is needed of an operation here (net.operations)."""

    @property
    def key(self) -> str: ...
    @property
    def in_place(self) -> bool: ...
    def same(self, other: object, /) -> bool: ...
    def run(self) -> Change: ...
    def undo(self) -> str: ...


AnyChange = TypeVar("AnyChange", bound=Change)


class Keeper(Protocol[AnyChange]):
    """Where the operations are written down (net.record)."""

    def load(self) -> tuple[AnyChange, ...]:
        """All of them, in their order."""
        ...

    def save(self, operations: tuple[AnyChange, ...], /) -> None:
        """These instead."""
        ...


@dataclass(frozen=True, slots=True)
class Undo(Generic[AnyChange]):
    """To undo what is in the record."""

    operation: AnyChange


@dataclass(frozen=True, slots=True)
class Do(Generic[AnyChange]):
    """To do it, and to have it in the record, there in the place of `instead`."""

    operation: AnyChange
    instead: AnyChange | None = None


Step = Undo[AnyChange] | Do[AnyChange]


def planned(
    recorded: Sequence[AnyChange], holding: Collection[AnyChange], wanted: Sequence[AnyChange]
) -> tuple[Step[AnyChange], ...]:
    """The steps from `recorded` (of which `holding` is in force) to `wanted`; none where all is as it should be."""
    steps: list[Step[AnyChange]] = []
    for old in reversed(recorded):
        new = next((one for one in wanted if one.key == old.key), None)
        if new is None or not (new.same(old) or new.in_place):
            steps.append(Undo(old))
    for new in wanted:
        old_one = next((one for one in recorded if one.key == new.key), None)
        if old_one is None or not (new.same(old_one) or new.in_place):
            steps.append(Do(new))
        elif not new.same(old_one):
            steps.append(Do(new, old_one))
        elif old_one not in holding:
            steps.append(Do(old_one, old_one))  # with what was there before the first time
    return tuple(steps)


def undoing(recorded: Sequence[AnyChange]) -> tuple[Step[AnyChange], ...]:
    """The steps to nothing."""
    return tuple(Undo(one) for one in reversed(recorded))


def carry_out(steps: Sequence[Step[AnyChange]], keeper: Keeper[AnyChange]) -> Iterator[tuple[Step[AnyChange], str]]:
    """Takes the steps, one at each turn, and says with each what could not be put back.

    Where one fails, what this call did before is undone, and the error goes on. To be called with the keeper's lock held, and
    to be used up.
    """
    done: list[AnyChange] = []
    try:
        for step in steps:
            if isinstance(step, Undo):
                said = step.operation.undo()
                keeper.save(tuple(one for one in keeper.load() if one != step.operation))
                yield step, said
            else:
                operation = _do(step, keeper)
                if step.instead is None:
                    done.append(operation)
                yield step, ""
    except Exception:
        for operation in reversed(done):
            with contextlib.suppress(SquibError):  # it stays in the record, and teardown will have another try
                operation.undo()
                keeper.save(tuple(one for one in keeper.load() if one != operation))
        raise


def _do(step: Do[AnyChange], keeper: Keeper[AnyChange]) -> AnyChange:
    recorded = keeper.load()
    if step.instead is None:
        keeper.save((*recorded, step.operation))
    try:
        operation: AnyChange = step.operation.run()  # type: ignore[assignment] # an operation returns its own kind
    except Exception:
        keeper.save(recorded)  # who raises has done nothing
        raise
    place = step.operation if step.instead is None else step.instead
    keeper.save(tuple(operation if one == place else one for one in keeper.load()))
    return operation
