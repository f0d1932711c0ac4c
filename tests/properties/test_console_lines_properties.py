from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from squib.formats.console_lines import Exit, Health, Ready, find
from squib.guest import console

REASONS = ("stopped", "finished", "usage", "appliance", "crashed", "failed", "killed")
CHECKS = ("ok", "timeout", "refused", "closed", "not-http", "status:200", "status:503")

text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


def shown(value: str) -> str:
    """What the host makes of a value: all that can be printed as it was, the rest as an escape."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in value)


@given(text)
def test_no_value_holds_what_could_command_a_terminal(value: str) -> None:
    (line,) = find(f"{console.ready_line([value])}\n".encode())
    assert isinstance(line, Ready)
    assert line.listen[0].isprintable()
    assert line.listen[0] == value or not value.isprintable()


@given(text)
def test_a_line_with_other_words_than_the_pages_is_nobodys(word: str) -> None:
    assert word in REASONS or not find(f"{console.exit_line(0, console.encode(word), 'none')}\n".encode())
    assert word in CHECKS or not find(f"{console.health_line('failing', 1, word)}\n".encode())


@given(st.binary(max_size=300))
@example(b"squib.boot abi=3 uptime_ms=99999999999999999999999999999\n")
def test_reading_never_raises(data: bytes) -> None:
    find(data)
    find(b"squib.ready " + data + b"\nsquib.exit abi=3 " + data + b"\n")


@given(st.lists(text, min_size=1, max_size=4), st.binary(max_size=40), st.binary(max_size=40))
def test_what_the_guest_writes_is_read_back_whatever_is_around_it(addresses: list[str], before: bytes, after: bytes) -> None:
    line = console.ready_line(addresses).encode()
    noise = before.replace(b"squib", b"") + b"\n"
    found = [value for value in find(noise + line + b"\r\n" + after) if isinstance(value, Ready)]
    assert found[0].listen == tuple(map(shown, addresses))


causes = st.one_of(
    st.sampled_from(["none", "health"]), st.builds("{}:{}".format, st.sampled_from(["exit", "signal"]), st.integers(0, 255))
)


@given(st.integers(0, 255), st.sampled_from(REASONS), causes)
def test_exit_lines_are_read_back(status: int, reason: str, cause: str) -> None:
    line = console.exit_line(status, reason, cause)
    assert find(f"{line}\n".encode()) == (Exit(status, reason, cause),)


@given(st.sampled_from(["starting", "ok", "failing", "unhealthy"]), st.integers(0, 100), st.sampled_from(CHECKS))
def test_health_lines_are_read_back(state: str, failures: int, check: str) -> None:
    (line,) = find(f"{console.health_line(state, failures, check)}\n".encode())
    assert isinstance(line, Health)
    assert (line.state, line.failures, line.check) == (state, failures, check)
