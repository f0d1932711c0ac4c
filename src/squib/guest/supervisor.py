"""When the server process is started, restarted, stopped and given up: a pure state machine.

`decide(state, event, now)` gives the next state and what to do; `init` does it. Rules (docs/guest-abi.md):

    WAITING ──its time comes──> STARTING ──ready──> READY
       ^                            │                 │
       └────── died: back-off ──────┴─────────────────┤
                                                      stop
    any of these ──fifth death in a row, or status 64──> ENDED
    WAITING ──stop──> ENDED     STARTING, READY ──stop──> STOPPING ──died──> ENDED

A stop is never forgotten: after it no process is started, and an end comes within STOP_MS + KILL_MS.
Times are milliseconds of a clock that never goes back.
"""

from __future__ import annotations

FIRST_DELAY_MS = 100
MAX_DELAY_MS = 5_000
MAX_DEATHS = 5
STEADY_MS = 30_000
"""Ready for this long, the server's next death counts as the first."""
STOP_MS = 12_000
"""The server's own limit is 10 s; only then is it killed."""
KILL_MS = 2_000
"""A killed process that is not gone by then hangs in the kernel; the machine ends without waiting for it."""

EXIT_USAGE, EXIT_APPLIANCE = 64, 65
"""Statuses of the server that another start would only repeat: a wrong option, an appliance that cannot be loaded."""

WAITING, STARTING, READY, STOPPING, ENDED = "waiting", "starting", "ready", "stopping", "ended"


class State:
    """A value, never changed. `deadline_ms`: when a `Tick` is due, or None; `ready_ms`: since when it is ready, or None."""

    __slots__ = ("deadline_ms", "deaths", "killed", "phase", "ready_ms")

    def __init__(
        self,
        phase: str,
        *,
        deadline_ms: int | None = None,
        deaths: int = 0,
        ready_ms: int | None = None,
        killed: bool = False,
    ) -> None:
        self.phase = phase
        self.deadline_ms = deadline_ms
        self.deaths = deaths
        self.ready_ms = ready_ms
        self.killed = killed


class Tick:
    """Time has passed."""


class Ready:
    """The server says that it is in its loop."""


class Stop:
    """Somebody asked for a graceful stop."""


class Died:
    """The server process is gone: `cause` is "exit" with a status, or "signal" with a number."""

    __slots__ = ("cause", "number")

    def __init__(self, cause: str, number: int) -> None:
        self.cause = cause
        self.number = number


class Spawn:
    """Start the server."""


class AnnounceReady:
    """Say that it is ready."""


class Terminate:
    """Ask the server to finish: SIGTERM."""


class Kill:
    """End the server at once: SIGKILL."""


class AnnounceRestart:
    """Say that it died and when it comes back."""

    __slots__ = ("attempt", "cause", "delay_ms")

    def __init__(self, attempt: int, delay_ms: int, cause: str) -> None:
        self.attempt = attempt
        self.delay_ms = delay_ms
        self.cause = cause


class Exit:
    """End the machine; `status` and `reason` as the ABI's table has them."""

    __slots__ = ("reason", "status")

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        self.reason = reason


STOPPED = Exit(0, "stopped")
USAGE = Exit(EXIT_USAGE, "usage")
APPLIANCE = Exit(EXIT_APPLIANCE, "appliance")
CRASHED = Exit(70, "crashed")
FAILED = Exit(71, "failed")
KILLED = Exit(75, "killed")

_FINAL = {USAGE.status: USAGE, APPLIANCE.status: APPLIANCE}

Event = Tick | Ready | Stop | Died
Action = Spawn | AnnounceReady | AnnounceRestart | Terminate | Kill | Exit


def initial(now_ms: int) -> State:
    """Before the first start: due at once, so that a stop that came earlier is seen before anything is started."""
    return State(WAITING, deadline_ms=now_ms)


def decide(state: State, event: Event, now_ms: int) -> tuple[State, tuple[Action, ...]]:
    """The next state, and what to do in this order. An event that means nothing in `state` changes nothing."""
    if state.phase == WAITING:
        return _waiting(state, event, now_ms)
    if state.phase in (STARTING, READY):
        return _alive(state, event, now_ms)
    if state.phase == STOPPING:
        return _stopping(state, event, now_ms)
    return state, ()


def _waiting(state: State, event: Event, now_ms: int) -> tuple[State, tuple[Action, ...]]:
    if isinstance(event, Stop):
        return State(ENDED), (STOPPED,)
    if isinstance(event, Tick) and _due(state, now_ms):
        return State(STARTING, deaths=state.deaths), (Spawn(),)
    return state, ()


def _alive(state: State, event: Event, now_ms: int) -> tuple[State, tuple[Action, ...]]:
    if isinstance(event, Stop):
        return State(STOPPING, deadline_ms=now_ms + STOP_MS), (Terminate(),)
    if isinstance(event, Died):
        return _died(state, event, now_ms)
    if isinstance(event, Ready) and state.phase == STARTING:
        return State(READY, deaths=state.deaths, ready_ms=now_ms), (AnnounceReady(),)
    return state, ()


def _died(state: State, event: Died, now_ms: int) -> tuple[State, tuple[Action, ...]]:
    if event.cause == "exit" and event.number in _FINAL:
        return State(ENDED), (_FINAL[event.number],)
    steady = state.ready_ms is not None and now_ms - state.ready_ms >= STEADY_MS
    deaths = 1 if steady else state.deaths + 1
    if deaths >= MAX_DEATHS:
        return State(ENDED), (CRASHED,)
    delay_ms = min(FIRST_DELAY_MS << (deaths - 1), MAX_DELAY_MS)
    announce = AnnounceRestart(deaths, delay_ms, f"{event.cause}:{event.number}")
    return State(WAITING, deadline_ms=now_ms + delay_ms, deaths=deaths), (announce,)


def _stopping(state: State, event: Event, now_ms: int) -> tuple[State, tuple[Action, ...]]:
    if isinstance(event, Died):
        return State(ENDED), (KILLED if state.killed else STOPPED,)
    if isinstance(event, Tick) and _due(state, now_ms):
        if state.killed:
            return State(ENDED), (KILLED,)
        return State(STOPPING, deadline_ms=now_ms + KILL_MS, killed=True), (Kill(),)
    return state, ()


def _due(state: State, now_ms: int) -> bool:
    return state.deadline_ms is not None and now_ms >= state.deadline_ms
