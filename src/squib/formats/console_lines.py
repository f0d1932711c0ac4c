"""The lines that PID 1 writes on the console for the host (docs/guest-abi.md, "Lines on the console").

A console holds anything: kernel messages, a server's log, half lines, control bytes. So reading never raises; a line that is
not exactly as the page says (names, order, ranges, words) is not one of ours. So what squib says of such a line holds no word
that a guest chose, but for the addresses of `listen`.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

__all__ = [
    "ABI",
    "Boot",
    "Clock",
    "ConsoleLine",
    "Exit",
    "Health",
    "Marks",
    "Ready",
    "Restart",
    "find",
    "last_state",
    "parse",
]

ABI = 3

_MAX_LINE = 4096
_LOOKED_AT = 64
_NUMBER = r"0|[1-9][0-9]{0,14}"
_BYTE = r"0|[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5]"
_CAUSE = rf"(?:exit|signal):(?:{_BYTE})|health"
_CHECK = r"ok|timeout|refused|closed|not-http|status:[0-9]{3}"
_REASON = r"stopped|finished|usage|appliance|crashed|failed|killed"
_TEXT = r"(?:[!-$&-~]|%[0-9A-F]{2})+"  # printable ASCII but space and %, or %XX

_MOMENT = rf"[a-z]{{1,16}}:(?:{_NUMBER})"

_LINES = {
    "boot": re.compile(rf"squib\.boot abi=(?P<abi>{_NUMBER}) uptime_ms=(?P<uptime_ms>{_NUMBER})"),
    "ready": re.compile(rf"squib\.ready abi=(?P<abi>{_NUMBER}) uptime_ms=(?P<uptime_ms>{_NUMBER}) listen=(?P<listen>{_TEXT})"),
    "restart": re.compile(
        rf"squib\.restart abi=(?P<abi>{_NUMBER}) attempt=(?P<attempt>{_NUMBER}) delay_ms=(?P<delay_ms>{_NUMBER})"
        rf" cause=(?P<cause>{_CAUSE})"
    ),
    "health": re.compile(
        rf"squib\.health abi=(?P<abi>{_NUMBER}) uptime_ms=(?P<uptime_ms>{_NUMBER})"
        rf" state=(?P<state>starting|ok|failing|unhealthy) failures=(?P<failures>{_NUMBER}) check=(?P<check>{_CHECK})"
    ),
    "clock": re.compile(
        rf"squib\.clock abi=(?P<abi>{_NUMBER}) uptime_ms=(?P<uptime_ms>{_NUMBER}) ahead_ms=(?P<ahead_ms>-?(?:{_NUMBER}))"
    ),
    "marks": re.compile(
        rf"squib\.marks abi=(?P<abi>{_NUMBER}) at_us=(?P<at_us>{_MOMENT}(?:,{_MOMENT})*)"
        rf" available_kib=(?P<available_kib>{_NUMBER})"
    ),
    "exit": re.compile(
        rf"squib\.exit abi=(?P<abi>{_NUMBER}) status=(?P<status>{_BYTE}) reason=(?P<reason>{_REASON})"
        rf" cause=(?P<cause>{_CAUSE}|none)"
    ),
}
_EVENT = re.compile(r"squib\.([a-z]+) ")


@dataclass(frozen=True, slots=True)
class Boot:
    """PID 1 runs; `uptime_ms` is the kernel's."""

    uptime_ms: int


@dataclass(frozen=True, slots=True)
class Ready:
    """The server is in its loop; `listen` holds addresses such as `tcp:0.0.0.0:80`."""

    uptime_ms: int
    listen: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Restart:
    """The server died of `cause` (`exit:STATUS`, `signal:NUMBER` or `health`) and is started again after `delay_ms`."""

    attempt: int
    delay_ms: int
    cause: str


@dataclass(frozen=True, slots=True)
class Health:
    """The server's health is `state` now, after `failures` bad checks in a row; `check` is how the last one went."""

    uptime_ms: int
    state: str
    failures: int
    check: str


@dataclass(frozen=True, slots=True)
class Exit:
    """The last line: the machine ends with `status` (0 to 255) because of `reason`; `cause`: how the server ended last."""

    status: int
    reason: str
    cause: str = "none"


@dataclass(frozen=True, slots=True)
class Marks:
    """When each step of the start was reached, in microseconds of the kernel's uptime; and the memory that was left then."""

    at_us: dict[str, int]
    available_kib: int


@dataclass(frozen=True, slots=True)
class Clock:
    """The machine's clock was `ahead_ms` ahead of its RTC (behind where that is negative), and was set right."""

    uptime_ms: int
    ahead_ms: int


ConsoleLine = Boot | Ready | Restart | Health | Clock | Marks | Exit


def parse(line: str) -> ConsoleLine | None:
    """What one line, without its line end, says to the host; None for every other line."""
    event = _EVENT.match(line) if len(line) <= _MAX_LINE else None
    pattern = None if event is None else _LINES.get(event[1])
    match = None if pattern is None else pattern.fullmatch(line)
    if event is None or match is None or int(match["abi"]) != ABI:
        return None
    match event[1]:
        case "boot":
            return Boot(int(match["uptime_ms"]))
        case "ready":
            return _ready(match)
        case "restart":
            return Restart(int(match["attempt"]), int(match["delay_ms"]), match["cause"])
        case "health":
            return Health(int(match["uptime_ms"]), match["state"], int(match["failures"]), match["check"])
        case "clock":
            return Clock(int(match["uptime_ms"]), int(match["ahead_ms"]))
        case "marks":
            moments = (moment.partition(":") for moment in match["at_us"].split(","))
            return Marks({name: int(us) for name, _, us in moments}, int(match["available_kib"]))
        case _:
            return Exit(int(match["status"]), match["reason"], match["cause"])


_STATE_EVENTS = "|".join(re.sub(r"\?P<[a-z_]+>", "?:", _LINES[name].pattern) for name in ("ready", "restart", "health", "exit"))
_STATE = re.compile(rf"\n(?:{_STATE_EVENTS.replace(_TEXT, '[!-~]+')})(?=\r*\n)".encode())


def last_state(console: bytes) -> Ready | Restart | Health | Exit | None:
    """The last line of ours that tells how the server does, of the lines in `console` that have both their ends in it.

    A guest may have filled it with what nearly is such a line: lines are not split first, and a few are looked at closely.
    """
    for match in reversed(deque(_STATE.finditer(console), maxlen=_LOOKED_AT)):
        line = parse(match[0][1:].decode("ascii"))
        if isinstance(line, Ready | Restart | Health | Exit):
            return line
    return None


def find(console: bytes) -> tuple[ConsoleLine, ...]:
    """All of our lines in what a console said, in order; a last line without its end does not count yet."""
    *whole, _ = console.split(b"\n")
    found = (parse(raw.rstrip(b"\r").decode("utf-8", "replace")) for raw in whole if raw.startswith(b"squib."))
    return tuple(line for line in found if line is not None)


def _ready(match: re.Match[str]) -> Ready | None:
    addresses = tuple(_decode(address) for address in match["listen"].split(","))
    return Ready(int(match["uptime_ms"]), addresses) if all(addresses) else None


def _decode(value: str) -> str:
    r"""A value as text that may be shown: what is not printable becomes `\x1b`; a guest is not to command a terminal."""
    text = unquote_to_bytes(value).decode("utf-8", "replace")
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
