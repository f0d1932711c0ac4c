"""When the server is restarted and given up: one table of histories."""

from __future__ import annotations

import pytest

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
    Stop,
    StopChecks,
    Terminate,
    Tick,
    decide,
    initial,
)

ALWAYS = Rules(Restart("always", 5))
CHECKED = Rules(Restart("always", 5), Health("/", 10_000, 2_000, 3, 5_000))
SILENT_MS = 10_000 + 2_000 + supervisor.SILENCE_MS


def play(*history: tuple[int, supervisor.Event], rules: Rules = ALWAYS) -> list[str]:
    """What is done over a history of (time in ms, event), as words."""
    state, done = initial(0), []
    for now_ms, event in history:
        state, actions = decide(rules, state, event, now_ms)
        done += [word(action) for action in actions]
    return done


def word(action: supervisor.Action) -> str:
    if isinstance(action, AnnounceRestart):
        return f"restart {action.attempt} {action.delay_ms} {action.cause}"
    if isinstance(action, Exit):
        return f"exit {action.status} {action.reason} {action.cause}"
    if isinstance(action, AnnounceHealth):
        return f"{action.state} {action.failures} {action.outcome}"
    names: dict[type, str] = {Spawn: "spawn", StartChecks: "check", StopChecks: "check no more"}
    names |= {AnnounceReady: "ready", Terminate: "terminate", Kill: "kill"}
    return names[type(action)]


def crash() -> Died:
    return Died("exit", 1)


def test_starts_at_once_and_announces_readiness() -> None:
    assert play((0, Tick()), (5, Ready()), (6, Ready()), (7, Tick())) == ["spawn", "ready"]


def test_a_stop_before_the_first_start_starts_nothing() -> None:
    assert play((0, Stop()), (0, Tick()), (9, Tick())) == ["exit 0 stopped none"]


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
        "spawn", "exit 70 crashed exit:1",
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
    assert play((0, Tick()), (1, Died("exit", 64)), (999, Tick())) == ["spawn", "exit 64 usage exit:64"]


def test_signal_64_is_not_status_64() -> None:
    assert play((0, Tick()), (1, Died("signal", 64)))[-1] == "restart 1 100 signal:64"


def test_an_end_with_status_0_that_nobody_asked_for_is_a_death() -> None:
    assert play((0, Tick()), (1, Ready()), (2, Died("exit", 0)))[-1] == "restart 1 100 exit:0"


def test_a_stop_asks_once_and_takes_any_end_in_time_for_a_stop() -> None:
    assert play((0, Tick()), (1, Ready()), (2, Stop()), (3, Stop()), (4, Tick()), (12_001, Died("exit", 0))) == [
        "spawn", "ready", "terminate", "exit 0 stopped exit:0",
    ]  # fmt: skip


def test_a_stop_of_one_that_is_not_ready_yet() -> None:
    assert play((0, Tick()), (2, Stop()), (3, Ready()), (3, Died("signal", 15))) == [
        "spawn",
        "terminate",
        "exit 0 stopped signal:15",
    ]


def test_a_stop_while_waiting_for_a_restart() -> None:
    assert play((0, Tick()), (2, crash()), (3, Stop()), (999, Tick()))[-1] == "exit 0 stopped exit:1"


def test_at_the_deadline_it_is_killed() -> None:
    deadline = 10 + supervisor.STOP_MS
    ticks = [(at, Tick()) for at in (deadline - 1, deadline, deadline + 1)]
    assert play((0, Tick()), (10, Stop()), *ticks, (deadline + 9, Died("signal", 9))) == [
        "spawn", "terminate", "kill", "exit 75 killed signal:9",
    ]  # fmt: skip


def test_one_that_cannot_be_killed_does_not_hold_the_machine() -> None:
    assert play((0, Tick()), (0, Stop()), (12_000, Tick()), (13_999, Tick()), (14_000, Tick())) == [
        "spawn", "terminate", "kill", "exit 75 killed none",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "end", "what"),
    [
        ("always", Died("exit", 0), "restart 1 100 exit:0"),
        ("always", Died("exit", 3), "restart 1 100 exit:3"),
        ("always", Died("exit", 65), "exit 65 appliance exit:65"),
        ("on-failure", Died("exit", 0), "exit 0 finished exit:0"),
        ("on-failure", Died("exit", 3), "restart 1 100 exit:3"),
        ("on-failure", Died("signal", 9), "restart 1 100 signal:9"),
        ("never", Died("exit", 0), "exit 0 finished exit:0"),
        ("never", Died("exit", 3), "exit 70 crashed exit:3"),
        ("never", Died("exit", 64), "exit 64 usage exit:64"),
        ("never", Died("signal", 11), "exit 70 crashed signal:11"),
    ],
)
def test_policies(policy: str, end: Died, what: str) -> None:
    assert play((0, Tick()), (1, Ready()), (2, end), rules=Rules(Restart(policy, 5))) == ["spawn", "ready", what]


@pytest.mark.parametrize("tries", [1, 2])
def test_as_many_tries_as_asked_for(tries: int) -> None:
    history = [(at * 10_000, event) for at in range(3) for event in (Tick(), crash())]
    assert play(*history, rules=Rules(Restart("always", tries))).count("spawn") == tries


def test_a_long_row_of_deaths_keeps_the_longest_delay() -> None:
    history = [(at * 10_000, event) for at in range(99) for event in (Tick(), crash())]
    assert play(*history, rules=Rules(Restart("always", 100)))[-1] == "restart 99 5000 exit:1"


UP = ((0, Tick()), (1000, Ready()))
"""In its loop at 1000; the start period ends at 6000."""


def test_ready_is_said_after_the_first_good_check() -> None:
    assert play(*UP, (1100, Checked("ok")), (11_100, Checked("ok")), rules=CHECKED) == ["spawn", "check", "ok 0 ok", "ready"]


def test_bad_checks_in_the_start_period_do_not_count() -> None:
    bad = [(at, Checked("refused")) for at in (1100, 2100, 3100, 4100, 5100, 5999)]
    assert play(*UP, *bad, (6000, Checked("ok")), rules=CHECKED) == ["spawn", "check", "starting 0 refused", "ok 0 ok", "ready"]


def test_bad_checks_after_the_start_period_count_before_the_first_good_one() -> None:
    bad = [(at, Checked("refused")) for at in (5999, 6000, 7000, 8000)]
    assert play(*UP, *bad, rules=CHECKED)[2:] == [
        "starting 0 refused", "failing 1 refused", "unhealthy 3 refused", "check no more", "kill",
    ]  # fmt: skip


def test_bad_checks_in_a_row_kill_it_and_it_comes_back_by_the_rules() -> None:
    bad = [(at, Checked("timeout")) for at in (2000, 3000, 4000)]
    assert play(*UP, (1100, Checked("ok")), *bad, (4001, Died("signal", 9)), (4101, Tick()), rules=CHECKED)[4:] == [
        "failing 1 timeout", "unhealthy 3 timeout", "check no more", "kill", "restart 1 100 health", "spawn",
    ]  # fmt: skip


def test_a_good_check_ends_the_row() -> None:
    outcomes = ["ok", "timeout", "timeout", "ok", "status:503", "timeout", "ok"]
    history = [(2000 + at * 10_000, Checked(outcome)) for at, outcome in enumerate(outcomes)]
    assert play(*UP, *history, rules=CHECKED)[2:] == [
        "ok 0 ok", "ready", "failing 1 timeout", "ok 0 ok", "failing 1 status:503", "ok 0 ok",
    ]  # fmt: skip


@pytest.mark.parametrize(("policy", "what"), [("on-failure", "restart 1 100 health"), ("never", "exit 70 crashed health")])
def test_failing_checks_are_a_failure(policy: str, what: str) -> None:
    bad = [(at, Checked("timeout")) for at in (6000, 7000, 8000)]
    rules = Rules(Restart(policy, 5), CHECKED.health)
    assert play(*UP, *bad, (8001, Died("signal", 9)), rules=rules)[-1] == what


@pytest.mark.parametrize(("good_ms", "attempt"), [(31_099, 2), (31_100, 1)])
def test_the_time_in_which_its_checks_failed_was_not_steady(good_ms: int, attempt: int) -> None:
    done = play(
        (0, Tick()), (0, crash()), (100, Tick()), (1000, Ready()), (1100, Checked("ok")), (good_ms, Checked("ok")),
        *[(good_ms + 60_000 * at, Checked("timeout")) for at in (1, 2, 3)], (500_000, Died("signal", 9)), rules=CHECKED,
    )  # fmt: skip
    assert done[-1].startswith(f"restart {attempt} ")


def test_a_health_process_without_a_word_is_replaced_and_the_server_left_alone() -> None:
    silent = 1000 + SILENT_MS
    assert play(*UP, (silent - 1, Tick()), (silent, Tick()), (silent + 1, Tick()), (silent + 9, Checked("ok")), rules=CHECKED) == [
        "spawn", "check", "check", "ok 0 ok", "ready",
    ]  # fmt: skip


def test_a_server_that_dies_by_itself_is_checked_no_more() -> None:
    done = play(*UP, (1100, Checked("ok")), (2000, crash()), (2001, Checked("refused")), rules=CHECKED)
    assert done[4:] == ["check no more", "restart 1 100 exit:1"]


def test_a_stop_ends_the_checks() -> None:
    done = play(*UP, (1100, Checked("ok")), (2000, Stop()), (2001, Checked("refused")), (2002, Died("exit", 0)), rules=CHECKED)
    assert done[4:] == ["check no more", "terminate", "exit 0 stopped exit:0"]


def test_a_stop_while_an_unhealthy_server_is_being_killed() -> None:
    bad = [(at, Checked("timeout")) for at in (6000, 7000, 8000)]
    assert play(*UP, *bad, (8000, Stop()), (8001, Died("signal", 9)), rules=CHECKED)[-1] == "exit 0 stopped signal:9"


def test_an_unhealthy_server_that_cannot_be_killed_ends_the_machine() -> None:
    bad = [(at, Checked("timeout")) for at in (6000, 7000, 8000)]
    assert play(*UP, *bad, (9999, Tick()), (10_000, Tick()), rules=CHECKED)[-2:] == ["kill", "exit 70 crashed health"]
