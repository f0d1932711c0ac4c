"""What was seen of one boot → a timeline. Pure.

The host sees when lines arrive; the guest says, on its own clock, when things happened. The guest's clock is laid on the
host's so that the line that was quickest took no time at all on its way: `zero` is the least of (arrival - uptime) over all
lines that hold an uptime. So nothing in the guest seems later than it was by more than that line's journey.
"""

from __future__ import annotations

from dataclasses import dataclass

from squib.formats.console_lines import Marks
from squib.model.boot import Phase, Step, Timeline

__all__ = ["Sighting", "timeline"]


@dataclass(frozen=True, slots=True)
class Sighting:
    """One boot. Seconds are of the host's monotonic clock.

    `arrivals`: when a line came, and the uptime in it (ms): `squib.boot` first, the first `squib.ready` last. `marks` is None
    where the guest told none; `answered_s` is None where nothing was asked.
    """

    launched_s: float
    arrivals: tuple[tuple[float, int], ...]
    marks: Marks | None
    answered_s: float | None


def timeline(seen: Sighting) -> Timeline:
    """The phases of what was seen."""
    zeros_ms = [(arrival_s - seen.launched_s) * 1000 - uptime_ms for arrival_s, uptime_ms in seen.arrivals]
    zero_ms = max(0.0, min(zeros_ms))
    at_ms = {name: zero_ms + us / 1000 for name, us in (seen.marks.at_us if seen.marks else {}).items()}
    ready_ms = at_ms.get("ready", zero_ms + seen.arrivals[-1][1])
    phases = [Phase("vmm", 0.0, zero_ms, "the VMM starts, and the kernel up to its clock")]
    if {"user", "python", "init", "server", "imported", "loop"} <= at_ms.keys():
        phases += _marked(at_ms, zero_ms, ready_ms)
    else:
        phases += _unmarked(zero_ms, zero_ms + seen.arrivals[0][1], ready_ms)
    end_ms = ready_ms
    if seen.answered_s is not None:
        end_ms = max(ready_ms, (seen.answered_s - seen.launched_s) * 1000)
        phases.append(Phase("answer", ready_ms, end_ms, "the first question and its answer"))
    return Timeline(tuple(phases), ready_ms, end_ms, max(zeros_ms) - min(zeros_ms))


def _marked(at_ms: dict[str, float], zero_ms: float, ready_ms: float) -> list[Phase]:
    user_ms, python_ms, server_ms, loop_ms = (at_ms[name] for name in ("user", "python", "server", "loop"))
    phases = [Phase("kernel", zero_ms, user_ms, "the kernel, until it runs the first program")]
    # Without an initrd the kernel itself mounts the disk, before it runs anything.
    root_ms = max(user_ms, at_ms.get("root", user_ms))
    if root_ms > user_ms:
        phases.append(Phase("initrd", user_ms, root_ms, "modules are loaded, the disk is found and mounted"))
    phases += [
        Phase("python", root_ms, python_ms, "the interpreter starts"),
        Phase("init", python_ms, server_ms, "PID 1 sets the machine up, and starts the server",
              _steps(at_ms, python_ms, (("modules", "init"), ("mounts", "mounted"), ("network", "network"),
                                        ("listeners", "listening"), ("fork", "server")))),
        Phase("imports", server_ms, loop_ms, "the server and the appliance are imported",
              _steps(at_ms, server_ms, (("server", "imported"), ("appliance", "loop")))),
        Phase("listening", loop_ms, ready_ms, "its loop runs, its check (if any) is good, and PID 1 says so"),
    ]  # fmt: skip
    return phases


def _unmarked(zero_ms: float, boot_ms: float, ready_ms: float) -> list[Phase]:
    """As far as the ordinary lines tell."""
    return [
        Phase("kernel", zero_ms, boot_ms, "the kernel, the initrd if there is one, the interpreter, PID 1's modules"),
        Phase("init", boot_ms, ready_ms, "PID 1 sets the machine up, and the server starts"),
    ]


def _steps(at_ms: dict[str, float], begin_ms: float, parts: tuple[tuple[str, str], ...]) -> tuple[Step, ...]:
    """Each part's name, and the mark that ends it; a part whose mark is missing is in the next one."""
    steps = []
    for name, mark in parts:
        if mark in at_ms:
            steps.append(Step(name, begin_ms, at_ms[mark]))
            begin_ms = at_ms[mark]
    return tuple(steps)
