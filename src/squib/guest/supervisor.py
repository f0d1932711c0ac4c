"""When the server process is started, checked, restarted, stopped and given up: a pure state machine.

`decide(rules, state, event, now)` gives the next state and what to do; `watch` does it. Rules (docs/guest-abi.md):

    WAITING ──its time comes──> STARTING ──in its loop──> CHECKING ──first good check──> READY
       ^                            │  (without a check: READY at once)                    │
       ├────── died: back-off ──────┴────────────────────────┴─────────────────────────────┤
       └────── died ── UNHEALTHY <── too many bad checks in a row: killed ─────────────────┘
    any of these ── the policy ends it, too many deaths in a row, or status 64 or 65 ──> ENDED
    WAITING ──stop──> ENDED     all others ──stop──> STOPPING ──died──> ENDED

A stop is never forgotten: after it no process is started, and an end comes within STOP_MS + KILL_MS.
Times are milliseconds of a clock that never goes back.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from squib.guest.spec import Health, Restart

FIRST_DELAY_MS = 100
MAX_DELAY_MS = 5_000
STEADY_MS = 30_000
"""Ready (and, where it is checked, healthy) for this long, the server's next death counts as the first."""
STOP_MS = 12_000
"""The server's own limit is 10 s; only then is it killed."""
KILL_MS = 2_000
"""A killed process that is not gone by then hangs in the kernel; the machine ends without waiting for it."""
SILENCE_MS = 10_000
"""A health process that is so much later with a report than interval and timeout allow is replaced by a new one."""

ALWAYS, ON_FAILURE, NEVER = "always", "on-failure", "never"
EXIT_USAGE, EXIT_APPLIANCE = 64, 65
"""Statuses of the server that another start would only repeat: a wrong option, an appliance that cannot be loaded."""
HEALTH = "health"
"""The cause of a death that bad checks led to."""

WAITING, STARTING, CHECKING, READY = "waiting", "starting", "checking", "ready"
UNHEALTHY, STOPPING, ENDED = "unhealthy", "stopping", "ended"

OK, FAILING = "ok", "failing"
"""What is announced of the server's health; so are STARTING (no good check yet, and still time) and UNHEALTHY (killed)."""


class Rules:
    """What the appliance asks for: `restart`, and `health` where the server is to be checked."""

    __slots__ = ("health", "restart")

    def __init__(self, restart: Restart, health: Health | None = None) -> None:
        self.restart = restart
        self.health = health


class State:
    """A value, never changed. `deadline_ms`: when a `Tick` is due, or None; `ready_ms`: since when it is ready, or None.

    `cause`: how the server ended last, or "none". Of the checks: `grace_ms`, until when bad ones do not count; `failures`, bad
    ones in a row; `good_ms`, when the last good one was; `health`, what was announced last, or "".
    """

    __slots__ = ("cause", "deadline_ms", "deaths", "failures", "good_ms", "grace_ms", "health", "killed", "phase", "ready_ms")

    def __init__(
        self,
        phase: str,
        *,
        deadline_ms: int | None = None,
        deaths: int = 0,
        cause: str = "none",
        ready_ms: int | None = None,
        killed: bool = False,
        grace_ms: int = 0,
        failures: int = 0,
        good_ms: int = 0,
        health: str = "",
    ) -> None:
        self.phase = phase
        self.deadline_ms = deadline_ms
        self.deaths = deaths
        self.cause = cause
        self.ready_ms = ready_ms
        self.killed = killed
        self.grace_ms = grace_ms
        self.failures = failures
        self.good_ms = good_ms
        self.health = health


class Tick:
    """Time has passed."""


class Ready:
    """The server says that it is in its loop."""


class Stop:
    """Somebody asked for a graceful stop."""


class Checked:
    """The health process says how a check went: OK, or what was wrong (docs/guest-abi.md)."""

    __slots__ = ("outcome",)

    def __init__(self, outcome: str) -> None:
        self.outcome = outcome


class Died:
    """The server process is gone: `cause` is "exit" with a status, or "signal" with a number."""

    __slots__ = ("cause", "number")

    def __init__(self, cause: str, number: int) -> None:
        self.cause = cause
        self.number = number


class Spawn:
    """Start the server."""


class StartChecks:
    """Start a health process that checks as `health` says; one that is there already goes first."""

    __slots__ = ("health",)

    def __init__(self, health: Health) -> None:
        self.health = health


class StopChecks:
    """End the health process, if there is one."""


class AnnounceReady:
    """Say that it is ready."""


class AnnounceHealth:
    """Say how its health is now: `state` after `failures` bad checks in a row, the last of them with `outcome`."""

    __slots__ = ("failures", "outcome", "state")

    def __init__(self, state: str, failures: int, outcome: str) -> None:
        self.state = state
        self.failures = failures
        self.outcome = outcome


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
    """End the machine; `status` and `reason` as the ABI's table has them, `cause` how the server ended last."""

    __slots__ = ("cause", "reason", "status")

    def __init__(self, status: int, reason: str, cause: str = "none") -> None:
        self.status = status
        self.reason = reason
        self.cause = cause

    def after(self, cause: str) -> Exit:
        """The same end, after the server ended by `cause`."""
        return Exit(self.status, self.reason, cause)


STOPPED = Exit(0, "stopped")
FINISHED = Exit(0, "finished")
USAGE = Exit(EXIT_USAGE, "usage")
APPLIANCE = Exit(EXIT_APPLIANCE, "appliance")
CRASHED = Exit(70, "crashed")
FAILED = Exit(71, "failed")
KILLED = Exit(75, "killed")

_FINAL = {f"exit:{end.status}": end for end in (USAGE, APPLIANCE)}

Event = Tick | Ready | Stop | Checked | Died
Action = Spawn | StartChecks | StopChecks | AnnounceReady | AnnounceHealth | AnnounceRestart | Terminate | Kill | Exit
Decision = tuple[State, tuple[Action, ...]]


def initial(now_ms: int) -> State:
    """Before the first start: due at once, so that a stop that came earlier is seen before anything is started."""
    return State(WAITING, deadline_ms=now_ms)


def decide(rules: Rules, state: State, event: Event, now_ms: int) -> Decision:
    """The next state, and what to do in this order. An event that means nothing in `state` changes nothing."""
    if state.phase == WAITING:
        return _waiting(state, event, now_ms)
    if state.phase in (STARTING, CHECKING, READY):
        return _alive(rules, state, event, now_ms)
    if state.phase == UNHEALTHY:
        return _unhealthy(rules, state, event, now_ms)
    if state.phase == STOPPING:
        return _stopping(state, event, now_ms)
    return state, ()


def _waiting(state: State, event: Event, now_ms: int) -> Decision:
    if isinstance(event, Stop):
        return State(ENDED), (STOPPED.after(state.cause),)
    if isinstance(event, Tick) and _due(state, now_ms):
        return State(STARTING, deaths=state.deaths, cause=state.cause), (Spawn(),)
    return state, ()


def _alive(rules: Rules, state: State, event: Event, now_ms: int) -> Decision:
    end_checks: tuple[Action, ...] = () if state.phase == STARTING or rules.health is None else (StopChecks(),)
    if isinstance(event, Stop):
        return State(STOPPING, deadline_ms=now_ms + STOP_MS, cause=state.cause), (*end_checks, Terminate())
    if isinstance(event, Died):
        after, actions = _died(rules, state, f"{event.cause}:{event.number}", now_ms)
        return after, (*end_checks, *actions)
    if isinstance(event, Ready) and state.phase == STARTING:
        return _in_its_loop(rules, state, now_ms)
    if rules.health is None or state.phase == STARTING:
        return state, ()
    if isinstance(event, Checked):
        return _checked(rules.health, state, event.outcome, now_ms)
    if isinstance(event, Tick) and _due(state, now_ms):  # no report for too long
        return _but(state, deadline_ms=_report_due(rules.health, now_ms)), (StartChecks(rules.health),)
    return state, ()


def _in_its_loop(rules: Rules, state: State, now_ms: int) -> Decision:
    if rules.health is None:
        return _but(state, phase=READY, ready_ms=now_ms), (AnnounceReady(),)
    grace_ms = now_ms + rules.health.start_period_ms
    after = _but(state, phase=CHECKING, grace_ms=grace_ms, deadline_ms=_report_due(rules.health, now_ms))
    return after, (StartChecks(rules.health),)


def _checked(health: Health, state: State, outcome: str, now_ms: int) -> Decision:
    """A check of a server that is CHECKING or READY."""
    checked = _but(state, deadline_ms=_report_due(health, now_ms))
    if outcome == OK:
        good = _but(checked, failures=0, good_ms=now_ms)
        if state.phase == READY:
            return _announce(good, OK, outcome)
        announced, said = _announce(_but(good, phase=READY, ready_ms=now_ms), OK, outcome)
        return announced, (*said, AnnounceReady())
    if state.phase == CHECKING and now_ms < state.grace_ms:
        return _announce(checked, STARTING, outcome)
    failures = state.failures + 1
    if failures < health.failures:
        return _announce(_but(checked, failures=failures), FAILING, outcome)
    after = _but(state, phase=UNHEALTHY, failures=failures, deadline_ms=now_ms + KILL_MS)
    announced, said = _announce(after, UNHEALTHY, outcome)
    return announced, (*said, StopChecks(), Kill())


def _announce(state: State, health: str, outcome: str) -> Decision:
    """Its health is said when it changes, so that a console is not filled by checks."""
    if state.health == health:
        return state, ()
    return _but(state, health=health), (AnnounceHealth(health, state.failures, outcome),)


def _unhealthy(rules: Rules, state: State, event: Event, now_ms: int) -> Decision:
    if isinstance(event, Stop):
        return State(STOPPING, deadline_ms=now_ms + KILL_MS, cause=HEALTH), ()
    if isinstance(event, Died):
        return _died(rules, state, HEALTH, now_ms)
    if isinstance(event, Tick) and _due(state, now_ms):
        return State(ENDED), (CRASHED.after(HEALTH),)
    return state, ()


def _died(rules: Rules, state: State, cause: str, now_ms: int) -> Decision:
    end = _final(rules.restart, cause)
    deaths = 1 if _was_steady(state, cause, now_ms) else state.deaths + 1
    if end is None and deaths >= rules.restart.tries:
        end = CRASHED
    if end is not None:
        return State(ENDED), (end.after(cause),)
    delay_ms = min(FIRST_DELAY_MS << min(deaths - 1, 16), MAX_DELAY_MS)
    after = State(WAITING, deadline_ms=now_ms + delay_ms, deaths=deaths, cause=cause)
    return after, (AnnounceRestart(deaths, delay_ms, cause),)


def _final(restart: Restart, cause: str) -> Exit | None:
    """The machine's end where a server that ended so is not started again, however often it died."""
    if cause in _FINAL:
        return _FINAL[cause]
    if cause == "exit:0":
        return None if restart.policy == ALWAYS else FINISHED
    return CRASHED if restart.policy == NEVER else None


def _was_steady(state: State, cause: str, now_ms: int) -> bool:
    until_ms = state.good_ms if cause == HEALTH else now_ms  # it was no good while its checks failed
    return state.ready_ms is not None and until_ms - state.ready_ms >= STEADY_MS


def _stopping(state: State, event: Event, now_ms: int) -> Decision:
    if isinstance(event, Died):
        end = KILLED if state.killed else STOPPED
        return State(ENDED), (end.after(f"{event.cause}:{event.number}"),)
    if isinstance(event, Tick) and _due(state, now_ms):
        if state.killed:
            return State(ENDED), (KILLED.after(state.cause),)
        return _but(state, deadline_ms=now_ms + KILL_MS, killed=True), (Kill(),)
    return state, ()


def _due(state: State, now_ms: int) -> bool:
    return state.deadline_ms is not None and now_ms >= state.deadline_ms


def _report_due(health: Health, now_ms: int) -> int:
    return now_ms + health.interval_ms + health.timeout_ms + SILENCE_MS


def _but(state: State, **changes: object) -> State:
    """`state` with some values changed."""
    values = {name: getattr(state, name) for name in State.__slots__}
    return State(**{**values, **changes})
