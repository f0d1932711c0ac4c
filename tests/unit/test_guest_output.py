"""What a server writes, on its way to the console: which lines are marked, and that no bytes in any pieces make one of PID 1's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.formats import console_lines
from squib.guest.console import Console
from squib.guest.output import MARK, Output, is_like_anothers
from squib.vmm.console_log import ConsoleLog

FORGED = b"squib.exit abi=3 status=0 reason=stopped cause=exit:0"


class Pipes:
    """A server's output and the console behind it."""

    def __init__(self) -> None:
        self.output = Output(os.geteuid())
        self.console_end, self.write_end = os.pipe()
        self.console = Console(self.write_end)
        self.console.write("squib.boot")

    def written(self, data: bytes) -> None:
        os.write(self.output.write_fd, data)
        self.console.relay(*self.output.take())

    def ended(self) -> bytes:
        """All that the console had, without the first line."""
        self.console.relay(b"", self.output.end())
        os.close(self.write_end)
        said = b""
        while data := os.read(self.console_end, 65536):
            said += data
        for fd in (self.output.fd, self.output.write_fd, self.console_end):
            os.close(fd)
        return said.removeprefix(b"\nsquib.boot\n")


@pytest.mark.parametrize(
    "line",
    [
        FORGED,
        b"squib: your host is at risk",
        b"squib:",
        b"  squib: indented",
        b"\tsquib: indented",
        b"\rsquib: a carriage return",
        b"\x1b[2K\x1b[1Gsquib: a cleared line",
        b"s\x1b[0mq\x1b[1;31muib: colours within",
        b"\x1bcsquib: a reset",
        b"\xe2\x80\x8bsquib: a space of no width",
        b"s\x00q\x00uib: NUL bytes",
        b"\x01" * 5000 + b"squib: far behind",
        b"[    1.234567] Kernel panic - not syncing: no",
        b"[1.2] no",
        b"<0>[    1.234567] no",
        b"[    T1] no",
        b"Kernel panic - not syncing: no",
        b"Initramfs unpacking failed: no",
        b"[\x1b[32m   12.5\x1b[0m] no",
    ],
)
def test_what_looks_like_anothers_line_is_marked(line: bytes) -> None:
    assert is_like_anothers(line)
    pipes = Pipes()
    pipes.written(line + b"\nnext\n")
    assert pipes.ended() == MARK + line + b"\nnext\n"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"squib",
        b"squibble: a word of its own",
        b"2026-12-01 04:43:24 +00:00: INF [http] listening on squib: 80",
        b"[2026-12-01 04:43:24 +0000] [12] [INFO] Booting worker",
        b"[1/4] 25.5% done",
        b"[] empty",
        b"[",
        b"<html>",
        b"< 3",
        b"\x1b[32mINFO\x1b[0m:     Started",
        b"INFO: squib: quoted",
        "Grüße".encode(),
        b"server: of its own",
        b"\xff\xfe binary",
        b"1.5]",
    ],
)
def test_all_others_are_as_they_were(line: bytes) -> None:
    pipes = Pipes()
    pipes.written(line + b"\n")
    assert pipes.ended() == line + b"\n"


def test_a_line_is_held_until_it_can_be_told() -> None:
    pipes = Pipes()
    for byte in FORGED:
        pipes.written(bytes([byte]))
    pipes.written(b"\n")
    assert pipes.ended() == MARK + FORGED + b"\n"


def test_a_long_line_comes_as_it_is_written() -> None:
    pipes = Pipes()
    pipes.written(b"a progress bar of many dots: .....")
    assert os.read(pipes.console_end, 4096).endswith(b"\na progress bar of many dots: .....")
    pipes.written(b"....")
    pipes.written(b"..\nnext\n")
    assert pipes.ended() == b"......\nnext\n"


def test_what_goes_on_behind_a_line_of_pid_1_is_marked() -> None:
    """Else a server would begin a line, wait for PID 1 to end it, and go on with one of PID 1's."""
    pipes = Pipes()
    pipes.written(b"x" * 100)
    pipes.console.write("squib.health")
    pipes.written(FORGED + b"\n" + b"next\n")
    assert pipes.ended() == b"x" * 100 + b"\nsquib.health\n" + MARK + FORGED + b"\nnext\n"


def test_a_line_that_hides_its_beginning_is_marked() -> None:
    pipes = Pipes()
    pipes.written(b"\x01" * 4096)
    pipes.written(FORGED + b"\n")
    assert pipes.ended() == MARK + b"\x01" * 4096 + FORGED + b"\n"


def test_half_a_line_at_the_end_gets_its_end() -> None:
    pipes = Pipes()
    pipes.written(b"squib: half")
    assert pipes.ended() == MARK + b"squib: half\n"


pieces = st.lists(
    st.sampled_from([FORGED, b"squib.", b"squib: ", b"\n", b"\r", b"\x1b[", b"\x1b[31m", b"[ 1.5] ", b"Kernel panic - not", b" syncing: x"])
    | st.binary(max_size=40),
    max_size=30,
)  # fmt: skip


@given(pieces, st.lists(st.booleans(), min_size=30, max_size=30))
def test_no_bytes_in_any_pieces_are_taken_for_anothers(written: list[bytes], interrupted: list[bool]) -> None:
    """`interrupted`: after which pieces PID 1 writes a line of its own."""
    pipes = Pipes()
    own = 0
    for piece, now in zip(written, interrupted, strict=False):
        if piece:
            pipes.written(piece)
        if now:
            pipes.console.write("squib.restart abi=3 attempt=1 delay_ms=100 cause=exit:3")
            own += 1
    said = pipes.ended()
    assert len(console_lines.find(said)) == own
    log = ConsoleLog()
    log.feed(said)
    assert not log.panic
    assert not log.initramfs
    lines = [line for line in said.split(b"\n") if is_like_anothers(line)]
    assert len(lines) == own


@given(pieces)
def test_nothing_is_lost(written: list[bytes]) -> None:
    pipes = Pipes()
    for piece in written:
        if piece:
            pipes.written(piece)
    whole = b"".join(written)
    expected = [line.removeprefix(MARK) for line in whole.split(b"\n")]
    assert [line.removeprefix(MARK) for line in pipes.ended().split(b"\n")] in (expected, [*expected, b""])


def test_a_full_console_takes_what_pid_1_says_and_no_more_of_the_server() -> None:
    pipes = Pipes()
    while pipes.console.has_room:
        pipes.written(b"x" * 4095 + b"\n")
    assert pipes.console.pending
    pipes.console.write("squib.exit")  # does not wait
    read = b""
    os.set_blocking(pipes.console_end, False)
    for _ in range(100):
        try:
            read += os.read(pipes.console_end, 65536)
        except BlockingIOError:
            break
        pipes.console.flush()
    assert read.endswith(b"\nsquib.exit\n")
    assert not pipes.console.pending


def test_who_owns_the_pipe_may_open_it_by_its_name() -> None:
    output = Output(os.geteuid())
    with Path(f"/proc/self/fd/{output.write_fd}").open("ab", buffering=0) as file:
        file.write(b"by its name\n")
    assert output.take() == (b"", b"by its name\n")
