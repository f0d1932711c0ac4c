from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from squib.formats.console_lines import Exit, Ready, find
from squib.guest import console

text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


@given(st.binary(max_size=300))
@example(b"squib.boot abi=1 uptime_ms=99999999999999999999999999999\n")
def test_reading_never_raises(data: bytes) -> None:
    find(data)
    find(b"squib.ready " + data + b"\nsquib.exit abi=1 " + data + b"\n")


@given(st.lists(text, min_size=1, max_size=4), st.binary(max_size=40), st.binary(max_size=40))
def test_what_the_guest_writes_is_read_back_whatever_is_around_it(addresses: list[str], before: bytes, after: bytes) -> None:
    line = console.ready_line(addresses).encode()
    noise = before.replace(b"squib", b"") + b"\n"
    found = [value for value in find(noise + line + b"\r\n" + after) if isinstance(value, Ready)]
    assert found[0].listen == tuple(addresses)


@given(st.integers(0, 255), text)
def test_exit_lines_are_read_back(status: int, reason: str) -> None:
    line = console.exit_line(status, console.encode(reason))
    assert find(f"{line}\n".encode()) == (Exit(status, reason),)
