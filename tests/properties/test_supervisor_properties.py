"""Whatever happens in whatever order, the supervisor keeps its promises."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from squib.guest import supervisor
from squib.guest.supervisor import (
    AnnounceRestart,
    Died,
    Exit,
    Kill,
    Ready,
    Spawn,
    State,
    Stop,
    Terminate,
    Tick,
    decide,
    initial,
)

EVENTS = st.one_of(
    st.builds(Tick),
    st.builds(Ready),
    st.builds(Stop),
    st.builds(Died, st.sampled_from(["exit", "signal"]), st.integers(0, 255)),
)
HISTORIES = st.lists(st.tuples(st.integers(0, 40_000), EVENTS), max_size=60)


class World:
    """A server that can only die while it runs; what the supervisor did to it."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.state: State = initial(0)
        self.alive = False
        self.stopped_ms: int | None = None
        self.ending: Exit | None = None
        self.deaths = 0

    def happens(self, event: supervisor.Event) -> None:
        if isinstance(event, Died | Ready) and not self.alive:
            return
        if isinstance(event, Died):
            self.alive = False
            self.deaths += 1
        if isinstance(event, Stop) and self.stopped_ms is None and self.ending is None:
            self.stopped_ms = self.now_ms
        before = (self.state.phase, self.state.deaths, self.state.deadline_ms)
        after, actions = decide(self.state, event, self.now_ms)
        assert before == (self.state.phase, self.state.deaths, self.state.deadline_ms), "a state is a value"
        self.state = after
        for action in actions:
            self.is_done(action)

    def is_done(self, action: supervisor.Action) -> None:
        assert self.ending is None, "nothing is done after the end"
        if isinstance(action, Spawn):
            assert not self.alive, "two servers at once"
            assert self.stopped_ms is None, "a start after a stop"
            self.alive = True
        if isinstance(action, Terminate | Kill):
            assert self.alive
            assert self.stopped_ms is not None, "nobody asked"
        if isinstance(action, AnnounceRestart):
            assert 100 <= action.delay_ms <= supervisor.MAX_DELAY_MS
            assert 1 <= action.attempt < supervisor.MAX_DEATHS
            assert self.state.deadline_ms == self.now_ms + action.delay_ms
        if isinstance(action, Exit):
            self.ending = action


@given(HISTORIES)
def test_promises(history: list[tuple[int, supervisor.Event]]) -> None:
    world = World()
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
    if world.ending is not None and world.ending.status in {0, 75}:
        assert world.stopped_ms is not None


@given(st.lists(st.integers(0, 29_000), min_size=5, max_size=5))
def test_five_deaths_in_a_row_always_end_it(lives_ms: list[int]) -> None:
    world = World()
    for life_ms in lives_ms:
        assert world.ending is None
        assert world.state.deadline_ms is not None
        world.now_ms = world.state.deadline_ms
        world.happens(Tick())
        world.happens(Ready())
        world.now_ms += life_ms
        world.happens(Died("signal", 11))
    assert world.ending is supervisor.CRASHED
