"""Whatever happens in whatever order, the supervisor keeps its promises."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from squib.guest import supervisor
from squib.guest.spec import Health, Restart
from squib.guest.supervisor import (
    AnnounceHealth,
    AnnounceReady,
    AnnounceRestart,
    Checked,
    Died,
    Exit,
    Kill,
    Ready,
    Rules,
    Spawn,
    StartChecks,
    State,
    Stop,
    StopChecks,
    Terminate,
    Tick,
    decide,
    initial,
)

EVENTS = st.one_of(
    st.builds(Tick),
    st.builds(Ready),
    st.builds(Stop),
    st.builds(Checked, st.sampled_from(["ok", "timeout", "status:503"])),
    st.builds(Died, st.sampled_from(["exit", "signal"]), st.integers(0, 255)),
)
POLICIES = st.builds(Restart, st.sampled_from(["always", "on-failure", "never"]), st.integers(1, 8))
CHECKS = st.builds(
    Health,
    st.just("/"),
    st.integers(1_000, 30_000),
    st.integers(100, 5_000),
    st.integers(1, 4),
    st.integers(0, 30_000),
)
RULES = st.builds(Rules, POLICIES, st.none() | CHECKS)
HISTORIES = st.lists(st.tuples(st.integers(0, 40_000), EVENTS), max_size=60)


class World:
    """A server that can only die while it runs; what the supervisor did to it."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.now_ms = 0
        self.state: State = initial(0)
        self.alive = False
        self.stopped_ms: int | None = None
        self.ending: Exit | None = None
        self.checks = False
        self.said_ok = self.said_ready = False
        self.bad = 0
        self.doomed = False

    def happens(self, event: supervisor.Event) -> None:
        if (isinstance(event, Died | Ready) and not self.alive) or (isinstance(event, Checked) and not self.checks):
            return
        if isinstance(event, Died):
            self.alive = False
        if isinstance(event, Checked):
            self.bad = 0 if event.outcome == "ok" else self.bad + 1
        if isinstance(event, Stop) and self.stopped_ms is None and self.ending is None:
            self.stopped_ms = self.now_ms
        before = (self.state.phase, self.state.deaths, self.state.deadline_ms)
        after, actions = decide(self.rules, self.state, event, self.now_ms)
        assert before == (self.state.phase, self.state.deaths, self.state.deadline_ms), "a state is a value"
        self.state = after
        for action in actions:
            self.is_done(action)

    def is_done(self, action: supervisor.Action) -> None:
        assert self.ending is None, "nothing is done after the end"
        if isinstance(action, Spawn):
            assert not self.alive, "two servers at once"
            assert self.stopped_ms is None, "a start after a stop"
            assert not self.checks, "checks of nobody"
            self.alive = True
            self.said_ok = self.said_ready = self.doomed = False
            self.bad = 0
        if isinstance(action, StartChecks):
            assert self.alive
            assert action.health is self.rules.health
            self.checks = True
        if isinstance(action, StopChecks):
            self.checks = False
        if isinstance(action, Terminate):
            assert self.stopped_ms is not None, "nobody asked"
        if isinstance(action, Terminate | Kill):
            assert self.alive
            assert not self.checks, "a server that ends is not checked"
        if isinstance(action, Kill) and self.stopped_ms is None:
            assert self.rules.health is not None
            assert self.bad >= self.rules.health.failures, "it was well"
            assert self.doomed, "killed without a word"
        self.is_said(action)
        if isinstance(action, AnnounceRestart):
            assert 100 <= action.delay_ms <= supervisor.MAX_DELAY_MS
            assert 1 <= action.attempt < self.rules.restart.tries
            assert self.rules.restart.policy != "never"
            assert (action.cause == "health") == self.doomed
            assert self.state.deadline_ms == self.now_ms + action.delay_ms
        if isinstance(action, Exit):
            self.ending = action

    def is_said(self, action: supervisor.Action) -> None:
        if isinstance(action, AnnounceHealth):
            assert self.alive
            assert self.rules.health is not None
            assert action.failures <= self.bad
            self.said_ok = self.said_ok or action.state == "ok"
            self.doomed = action.state == "unhealthy"
        if isinstance(action, AnnounceReady):
            assert self.alive
            assert not self.said_ready, "said twice of one server"
            assert self.said_ok or self.rules.health is None, "not checked"
            self.said_ready = True


@given(RULES, HISTORIES)
def test_promises(rules: Rules, history: list[tuple[int, supervisor.Event]]) -> None:
    world = World(rules)
    for pause_ms, event in history:
        world.now_ms += pause_ms
        world.happens(event)
        if world.ending is not None:
            break
        # Whoever waits has something to wait for: a deadline, or a process that will end.
        assert world.state.deadline_ms is not None or world.alive
    if world.stopped_ms is not None and world.ending is None:
        deadlines = 0
        while world.ending is None:
            deadlines += 1
            assert deadlines <= 2, "a stop ends the machine, whatever the server does"
            assert world.state.deadline_ms is not None
            world.now_ms = max(world.now_ms, world.state.deadline_ms)
            world.happens(Tick())
    if world.ending is not None and world.ending.reason in {"stopped", "killed"}:
        assert world.stopped_ms is not None
    if world.ending is not None and world.ending.reason == "finished":
        assert world.ending.cause == "exit:0"
        assert rules.restart.policy != "always"


@given(st.lists(st.integers(0, 29_000), min_size=5, max_size=5))
def test_five_deaths_in_a_row_always_end_it(lives_ms: list[int]) -> None:
    world = World(Rules(Restart("always", 5)))
    for life_ms in lives_ms:
        assert world.ending is None
        assert world.state.deadline_ms is not None
        world.now_ms = world.state.deadline_ms
        world.happens(Tick())
        world.happens(Ready())
        world.now_ms += life_ms
        world.happens(Died("signal", 11))
    assert world.ending is not None
    assert (world.ending.status, world.ending.reason, world.ending.cause) == (70, "crashed", "signal:11")
