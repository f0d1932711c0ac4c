"""When the server is restarted and given up: one table of histories."""

from __future__ import annotations

import pytest

from squib.guest import supervisor
from squib.guest.supervisor import (
    AnnounceReady,
    AnnounceRestart,
    Died,
    Exit,
    Kill,
    Ready,
    Spawn,
    Stop,
    Terminate,
    Tick,
    decide,
    initial,
)


def play(*history: tuple[int, supervisor.Event]) -> list[str]:
    """What is done over a history of (time in ms, event), as words."""
    state, done = initial(0), []
    for now_ms, event in history:
        state, actions = decide(state, event, now_ms)
        done += [word(action) for action in actions]
    return done


def word(action: supervisor.Action) -> str:
    if isinstance(action, AnnounceRestart):
        return f"restart {action.attempt} {action.delay_ms} {action.cause}"
    if isinstance(action, Exit):
        return f"exit {action.status} {action.reason}"
    names = {Spawn: "spawn", AnnounceReady: "ready", Terminate: "terminate", Kill: "kill"}
    return names[type(action)]


def crash() -> Died:
    return Died("exit", 1)


def test_starts_at_once_and_announces_readiness() -> None:
    assert play((0, Tick()), (5, Ready()), (6, Ready()), (7, Tick())) == ["spawn", "ready"]


def test_a_stop_before_the_first_start_starts_nothing() -> None:
    assert play((0, Stop()), (0, Tick()), (9, Tick())) == ["exit 0 stopped"]


def test_back_off_doubles_and_the_fifth_death_in_a_row_gives_up() -> None:
    assert play(
        (0, Tick()), (0, crash()), (99, Tick()), (100, Tick()),
        (100, crash()), (299, Tick()), (300, Tick()),
        (300, crash()), (699, Tick()), (700, Tick()),
        (700, Died("signal", 9)), (1499, Tick()), (1500, Tick()),
        (1500, crash()), (99_999, Tick()),
    ) == [
        "spawn", "restart 1 100 exit:1",
        "spawn", "restart 2 200 exit:1",
        "spawn", "restart 3 400 exit:1",
        "spawn", "restart 4 800 signal:9",
        "spawn", "exit 70 crashed",
    ]  # fmt: skip


@pytest.mark.parametrize(("ready_for_ms", "attempt"), [(29_999, 3), (30_000, 1)])
def test_having_been_ready_for_30_s_starts_the_count_anew(ready_for_ms: int, attempt: int) -> None:
    done = play(
        (0, Tick()), (0, crash()), (100, Tick()), (100, crash()), (300, Tick()),
        (1000, Ready()), (1000 + ready_for_ms, crash()),
    )  # fmt: skip
    assert done[-1].startswith(f"restart {attempt} ")


def test_a_readiness_of_the_one_before_does_not_count() -> None:
    done = play((0, Tick()), (0, Ready()), (30_000, crash()), (30_100, Tick()), (90_000, crash()))
    assert done[-1] == "restart 2 200 exit:1"


def test_status_64_is_usage_and_not_restarted() -> None:
    assert play((0, Tick()), (1, Died("exit", 64)), (999, Tick())) == ["spawn", "exit 64 usage"]


def test_signal_64_is_not_status_64() -> None:
    assert play((0, Tick()), (1, Died("signal", 64)))[-1] == "restart 1 100 signal:64"


def test_an_end_with_status_0_that_nobody_asked_for_is_a_death() -> None:
    assert play((0, Tick()), (1, Ready()), (2, Died("exit", 0)))[-1] == "restart 1 100 exit:0"


def test_a_stop_asks_once_and_takes_any_end_in_time_for_a_stop() -> None:
    assert play((0, Tick()), (1, Ready()), (2, Stop()), (3, Stop()), (4, Tick()), (12_001, Died("exit", 0))) == [
        "spawn", "ready", "terminate", "exit 0 stopped",
    ]  # fmt: skip


def test_a_stop_of_one_that_is_not_ready_yet() -> None:
    assert play((0, Tick()), (2, Stop()), (3, Ready()), (3, Died("signal", 15))) == ["spawn", "terminate", "exit 0 stopped"]


def test_a_stop_while_waiting_for_a_restart() -> None:
    assert play((0, Tick()), (2, crash()), (3, Stop()), (999, Tick()))[-1] == "exit 0 stopped"


def test_at_the_deadline_it_is_killed() -> None:
    deadline = 10 + supervisor.STOP_MS
    ticks = [(at, Tick()) for at in (deadline - 1, deadline, deadline + 1)]
    assert play((0, Tick()), (10, Stop()), *ticks, (deadline + 9, Died("signal", 9))) == [
        "spawn", "terminate", "kill", "exit 75 killed",
    ]  # fmt: skip


def test_one_that_cannot_be_killed_does_not_hold_the_machine() -> None:
    assert play((0, Tick()), (0, Stop()), (12_000, Tick()), (13_999, Tick()), (14_000, Tick())) == [
        "spawn", "terminate", "kill", "exit 75 killed",
    ]  # fmt: skip
