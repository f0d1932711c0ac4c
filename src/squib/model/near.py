"""What somebody may have meant by a word that is not known: the nearest known word, or none at all.

The rule: at most a third of the letters of the longer word may differ, and never more than three. A word that is farther away
is a guess, and a guess sends people the wrong way. The server program, which imports none of this, keeps the same rule
(`squib.guest.options`); a test holds both to it.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["did_you_mean", "distance", "near"]

_MOST_EDITS = 3
_LEAST_PREFIX = 3
_LONGEST = 64
"""No known word is longer, and the work grows with the square of the length."""


def did_you_mean(word: str, known: Iterable[str], form: str = "{}") -> str:
    """`; did you mean X?` to go behind a message, or nothing; `form` shows the word as it is typed."""
    found = near(word, known)
    return "" if found is None else f"; did you mean {form.format(found)}?"


def near(word: str, known: Iterable[str]) -> str | None:
    """The one of `known` that is nearest to `word`; else the only one that `word` begins, with three letters or more."""
    typed = word.casefold()
    if len(typed) > _LONGEST:
        return None
    words = sorted(set(known))
    edits = {one: distance(typed, one.casefold()) for one in words if len(one) <= _LONGEST}
    close = [one for one in edits if edits[one] <= min(_MOST_EDITS, max(len(typed), len(one)) // 3)]
    if close:
        return min(close, key=lambda one: (edits[one], one))
    longer = [one for one in words if len(typed) >= _LEAST_PREFIX and one.casefold().startswith(typed)]
    return longer[0] if len(longer) == 1 else None


def distance(one: str, other: str) -> int:
    """How many letters must be changed, put in, taken out, or swapped with the next, to make `one` into `other`."""
    before: list[int] = []
    last = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        current = [row]
        for column, wanted in enumerate(other, 1):
            edits = min(current[-1] + 1, last[column] + 1, last[column - 1] + (letter != wanted))
            if row > 1 and column > 1 and letter == other[column - 2] and one[row - 2] == wanted:
                edits = min(edits, before[column - 2] + 1)
            current.append(edits)
        before, last = last, current
    return last[-1]
