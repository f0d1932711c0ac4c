from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from squib.formats.console_lines import Exit, Health, Ready, find
from squib.guest import console

text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


def shown(value: str) -> str:
    """What the host makes of a value: all that can be printed as it was, the rest as an escape."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in value)


@given(text)
def test_no_value_holds_what_could_command_a_terminal(value: str) -> None:
    (line,) = find(f"{console.exit_line(0, console.encode(value), 'none')}\n".encode())
    assert isinstance(line, Exit)
    assert line.reason.isprintable()
    assert line.reason == value or not value.isprintable()


@given(st.binary(max_size=300))
@example(b"squib.boot abi=2 uptime_ms=99999999999999999999999999999\n")
def test_reading_never_raises(data: bytes) -> None:
    find(data)
    find(b"squib.ready " + data + b"\nsquib.exit abi=2 " + data + b"\n")


@given(st.lists(text, min_size=1, max_size=4), st.binary(max_size=40), st.binary(max_size=40))
def test_what_the_guest_writes_is_read_back_whatever_is_around_it(addresses: list[str], before: bytes, after: bytes) -> None:
    line = console.ready_line(addresses).encode()
    noise = before.replace(b"squib", b"") + b"\n"
    found = [value for value in find(noise + line + b"\r\n" + after) if isinstance(value, Ready)]
    assert found[0].listen == tuple(map(shown, addresses))


causes = st.one_of(
    st.sampled_from(["none", "health"]), st.builds("{}:{}".format, st.sampled_from(["exit", "signal"]), st.integers(0, 255))
)


@given(st.integers(0, 255), text, causes)
def test_exit_lines_are_read_back(status: int, reason: str, cause: str) -> None:
    line = console.exit_line(status, console.encode(reason), cause)
    assert find(f"{line}\n".encode()) == (Exit(status, shown(reason), cause),)


@given(st.sampled_from(["starting", "ok", "failing", "unhealthy"]), st.integers(0, 100), text)
def test_health_lines_are_read_back(state: str, failures: int, check: str) -> None:
    (line,) = find(f"{console.health_line(state, failures, check)}\n".encode())
    assert isinstance(line, Health)
    assert (line.state, line.failures, line.check) == (state, failures, shown(check))
