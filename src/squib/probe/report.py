"""What a clock's answers must be, as the seed's test scripts check them: 200, JSON with a time, time that moves. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from squib.probe.http import Answer

__all__ = ["ProbeReport", "report"]

_FORMAT = "%Y-%m-%d %H:%M:%S %z"
_SPACING_S = 1.0
"""The clock tells whole seconds: answers asked at least so far apart must differ."""


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """`failures` are sentences, each with the number of its answer, counted from 1."""

    answers: tuple[Answer, ...]
    failures: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether all is as it must be; no answer at all is not."""
        return bool(self.answers) and not self.failures


def report(answers: Sequence[Answer]) -> ProbeReport:
    """Checks each answer, and each against the one before it."""
    failures: list[str] = []
    before: tuple[int, Answer, datetime] | None = None
    for number, answer in enumerate(answers, 1):
        told = _time(answer)
        if isinstance(told, str):
            failures.append(f"answer {number}: {told}")
            continue
        if before is not None and (problem := _against(before, answer, told)):
            failures.append(f"answer {number}: {problem}")
        before = number, answer, told
    return ProbeReport(tuple(answers), tuple(failures))


def _time(answer: Answer) -> datetime | str:
    """The time that an answer tells, or what is wrong with it."""
    if answer.error:
        return answer.error
    if answer.status != 200:
        return f"status {answer.status}, not 200"
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        return "the body is not JSON"
    told = body.get("time") if isinstance(body, dict) else None
    if not isinstance(told, str):
        return 'the JSON holds no text "time"'
    try:
        return datetime.strptime(told, _FORMAT).astimezone(UTC)
    except (ValueError, OverflowError):
        return f"{told[:64]!r} is no time as in 2026-11-23 23:02:22 -00:00"


def _against(before: tuple[int, Answer, datetime], answer: Answer, told: datetime) -> str:
    number, earlier, then = before
    if told < then:
        return f"its time is before that of answer {number}"
    # From the end of the earlier answer: only then is it certain that its time was told.
    apart = answer.asked_at_s - (earlier.asked_at_s + earlier.latency_us / 1_000_000)
    if apart >= _SPACING_S and told == then:
        return f"its time is that of answer {number}, asked {apart:.1f} s before"
    return ""
