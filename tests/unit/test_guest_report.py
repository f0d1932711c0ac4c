"""What a console's lines tell of the server, in values and in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.formats.console_lines import Boot, Clock, ConsoleLine, Exit, Health, Ready, Restart
from squib.vmm.guest_report import GuestReport, after, describe_cause, describe_end, describe_outcome, quoted, summary, tell

UP = (Boot(1), Health(2, "ok", 0, "ok"), Ready(3, ("tcp:0.0.0.0:80",)))
FAILS = (Health(4, "failing", 1, "timeout"), Health(5, "unhealthy", 3, "timeout"), Restart(1, 100, "health"))
LINES = st.one_of(
    st.builds(Boot, st.integers(0)),
    st.builds(Ready, st.integers(0), st.just(("tcp:0.0.0.0:80",))),
    st.builds(Health, st.integers(0), st.sampled_from(["starting", "ok", "failing", "unhealthy"]), st.integers(0, 9), st.text(min_size=1)),
    st.builds(Restart, st.integers(1), st.integers(0), st.sampled_from(["exit:3", "signal:9", "signal:250", "health"])),
    st.builds(Exit, st.integers(0, 255), st.text(min_size=1), st.sampled_from(["none", "exit:3", "signal:9", "health"])),
)  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "report"),
    [
        ((), GuestReport(ready=False, health="none", restarts=0, cause="")),
        ((Boot(1), Ready(3, ("x",))), GuestReport(ready=True, health="none")),
        (UP, GuestReport(ready=True, health="ok")),
        ((Boot(1), Health(2, "starting", 0, "refused")), GuestReport(ready=False, health="starting")),
        ((*UP, FAILS[0]), GuestReport(ready=True, health="failing")),
        ((*UP, *FAILS), GuestReport(ready=False, health="starting", restarts=1, cause="health")),
        ((*UP, *FAILS, *UP[1:], Restart(2, 200, "exit:3")), GuestReport(False, "starting", 2, "exit:3")),
        ((Boot(1), Restart(1, 100, "signal:9")), GuestReport(False, "none", 1, "signal:9")),
        ((*UP, Exit(0, "stopped", "exit:0")), GuestReport(ready=False, health="ok")),
        ((*UP, *FAILS, *UP), GuestReport(ready=True, health="ok")),
    ],
)
def test_summary(lines: tuple[ConsoleLine, ...], report: GuestReport) -> None:
    assert summary(lines) == report


def told(*lines: ConsoleLine) -> list[str]:
    report, words = GuestReport(), []
    for line in lines:
        words.append(tell(report, line))
        report = after(report, line)
    return [word for word in words if word]


def test_a_machine_that_does_well_is_not_talked_about() -> None:
    assert told(*UP, Exit(0, "stopped", "exit:0")) == []


def test_what_a_person_is_told() -> None:
    starting = Health(1, "starting", 0, "status:503")
    again = Health(9, "failing", 1, "status:500")
    assert told(Boot(1), starting, *UP[1:], *FAILS, *UP[1:], again, UP[1], Restart(2, 200, "signal:9")) == [
        "the health check is not good yet: status 503",
        "the health check failed: no answer in time",
        "the health check failed 3 times in a row: no answer in time; the server is killed",
        "the server died (its health check failed); it is started again in 0.1 s",
        "the server is ready again",
        "the health check failed: status 500",
        "the health check is good again",
        "the server died (signal 9 (SIGKILL)); it is started again in 0.2 s",
    ]
    assert told(Health(1, "unhealthy", 1, "refused")) == ["the health check failed once: nobody listens; the server is killed"]


@given(st.lists(LINES, max_size=8))
def test_any_lines(lines: list[ConsoleLine]) -> None:
    told(*lines)
    assert summary(lines).restarts <= sum(isinstance(line, Restart) for line in lines)


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        ("exit:3", "exit status 3"),
        ("signal:9", "signal 9 (SIGKILL)"),
        ("signal:200", "signal 200"),
        ("health", "its health check failed"),
        ("none", ""),
    ],
)
def test_causes(cause: str, words: str) -> None:
    assert describe_cause(cause) == words


def test_ends() -> None:
    assert describe_end(Exit(70, "crashed", "exit:3")) == "crashed: exit status 3"
    assert describe_end(Exit(70, "crashed")) == "crashed"
    assert describe_end(Exit(0, "stopped", "exit:0")) == "stopped"
    assert describe_end(Exit(0, "finished", "exit:0")) == "finished"


def test_outcomes() -> None:
    assert [describe_outcome(check) for check in ("status:404", "closed", "not-http", "odd")] == [
        "status 404", "the connection broke", "no answer of HTTP/1", "odd",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("ahead_ms", "words"),
    [
        (25_400, "the guest's clock was 25 s ahead; it has been set right"),
        (-2_100, "the guest's clock was 2 s behind; it has been set right"),
    ],
)
def test_a_clock_that_was_wrong_is_told(ahead_ms: int, words: str) -> None:
    assert tell(GuestReport(), Clock(9, ahead_ms)) == words
    assert after(GuestReport(ready=True), Clock(9, ahead_ms)) == GuestReport(ready=True)


def test_a_guests_own_words_are_quoted() -> None:
    assert quoted('run: curl "x" \\ | sh\x1b[2J\u202e\n') == r'"run: curl \"x\" \\ | sh\x1b[2J\u202e\n"'
    assert quoted("x" * 300) == f'"{"x" * 200}..."'
