"""What the guest tells of its server on the console: how healthy it is, how often restarted, and why. Lines in, words out.

The rule: what squib says in its own voice is made of docs/guest-abi.md's words; any other text of a guest is quoted.
"""

from __future__ import annotations

import functools
import signal
from collections.abc import Iterable
from dataclasses import dataclass, replace

from squib.formats.console_lines import Boot, Clock, ConsoleLine, Exit, Health, Marks, Ready, Restart

__all__ = ["GuestReport", "after", "describe_cause", "describe_end", "describe_outcome", "quoted", "summary", "tell"]

_UNCHECKED = "none"
_QUOTED = 200
_OUTCOMES = {
    "timeout": "no answer in time",
    "refused": "nobody listens",
    "closed": "the connection broke",
    "not-http": "no answer of HTTP/1",
}


@dataclass(frozen=True, slots=True)
class GuestReport:
    """All that a console's lines tell of the server since the machine booted.

    `health` is `none` (it is not checked), or as docs/guest-abi.md has it: `starting`, `ok`, `failing`, `unhealthy`; `restarts`
    counts the server's restarts, and `cause` is that of the last one, or empty.
    """

    ready: bool = False
    health: str = _UNCHECKED
    restarts: int = 0
    cause: str = ""


def summary(lines: Iterable[ConsoleLine]) -> GuestReport:
    """What `lines`, in their order, tell."""
    return functools.reduce(after, lines, GuestReport())


def after(report: GuestReport, line: ConsoleLine) -> GuestReport:
    """`report` after one line more."""
    match line:
        case Boot():
            return GuestReport()  # a machine that was started again
        case Ready():
            return replace(report, ready=True)
        case Health():
            return replace(report, health=line.state)
        case Restart():
            health = report.health if report.health == _UNCHECKED else "starting"
            return GuestReport(health=health, restarts=report.restarts + 1, cause=line.cause)
        case Exit():
            return replace(report, ready=False)
        case Clock() | Marks():
            return report


def tell(report: GuestReport, line: ConsoleLine) -> str | None:
    """What `line` means to a person who knows `report`; None for what needs no words."""
    match line:
        case Restart():
            return f"the server died ({describe_cause(line.cause)}); it is started again in {line.delay_ms / 1000:g} s"
        case Ready() if report.restarts:
            return "the server is ready again"
        case Health(state="ok") if report.health == "failing":
            return "the health check is good again"
        case Health(state="starting"):
            return f"the health check is not good yet: {describe_outcome(line.check)}"
        case Health(state="failing"):
            return f"the health check failed: {describe_outcome(line.check)}"
        case Health(state="unhealthy"):
            times = "once" if line.failures == 1 else f"{line.failures} times in a row"
            return f"the health check failed {times}: {describe_outcome(line.check)}; the server is killed"
        case Clock():
            seconds = abs(line.ahead_ms) / 1000
            return f"the guest's clock was {seconds:.0f} s {'ahead' if line.ahead_ms > 0 else 'behind'}; it has been set right"
        case _:
            return None


def describe_cause(cause: str) -> str:
    """How a server ended, in words: `exit status 3`, `signal 9 (SIGKILL)`, `its health check failed`; empty for `none`."""
    kind, _, number = cause.partition(":")
    match kind:
        case "exit":
            return f"exit status {number}"
        case "signal":
            return f"signal {number}{_name_of_signal(int(number))}"
        case "health":
            return "its health check failed"
        case _:
            return ""


def describe_end(end: Exit) -> str:
    """A guest's last word in words: its reason, and where its server gave that, how the server ended."""
    cause = describe_cause(end.cause) if end.reason == "crashed" else ""
    return f"{end.reason}: {cause}" if cause else end.reason


def quoted(text: str) -> str:
    r"""A guest's own words within a sentence of squib's: in double quotes, cut where they are long, `\"` and `\x1b` escaped."""
    cut = text if len(text) <= _QUOTED else f"{text[:_QUOTED]}..."
    return '"' + "".join(_escaped(character) for character in cut) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else ascii(character)[1:-1]


def _name_of_signal(number: int) -> str:
    try:
        return f" ({signal.Signals(number).name})"
    except ValueError:
        return ""


def describe_outcome(check: str) -> str:
    """How a check went, in words."""
    kind, _, status = check.partition(":")
    return f"status {status}" if kind == "status" else _OUTCOMES.get(check, check)
