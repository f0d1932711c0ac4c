"""What PID 1 writes for the host, and that a broken console costs lines only."""

from __future__ import annotations

import os
import re

import pytest

from squib.guest import console


class Pipe:
    """A console that can be read back."""

    def __init__(self) -> None:
        self.read_end, write_end = os.pipe()
        self.out = console.Console(write_end)
        self.write_end = write_end

    def writes(self) -> bytes:
        return os.read(self.read_end, 65536)


@pytest.fixture
def pipe() -> Pipe:
    return Pipe()


def test_the_lines_of_the_abi() -> None:
    assert re.fullmatch(r"squib\.boot abi=3 uptime_ms=\d+", console.boot_line())
    ready = console.ready_line(["tcp:0.0.0.0:80", "tcp:[::]:80", "unix:/run/a,b %é\n"])
    assert re.fullmatch(
        r"squib\.ready abi=3 uptime_ms=\d+ listen=tcp:0\.0\.0\.0:80,tcp:\[::\]:80,unix:/run/a%2Cb%20%25%C3%A9%0A", ready
    )
    assert console.restart_line(2, 200, "signal:9") == "squib.restart abi=3 attempt=2 delay_ms=200 cause=signal:9"
    assert console.exit_line(70, "crashed", "health") == "squib.exit abi=3 status=70 reason=crashed cause=health"
    assert re.fullmatch(
        r"squib\.health abi=3 uptime_ms=\d+ state=failing failures=1 check=status:503",
        console.health_line("failing", 1, "status:503"),
    )


def test_a_line_starts_a_line(pipe: Pipe) -> None:
    pipe.out.write("squib.boot")
    assert pipe.writes() == b"\nsquib.boot\n", "the kernel or the firmware may have left half a line"
    pipe.out.write("squib.exit")
    assert pipe.writes() == b"squib.exit\n", "nobody else has written since"
    pipe.out.relay(b"", b"half a line")
    pipe.out.write("squib.ready")
    pipe.out.write("squib.exit")
    assert pipe.writes() == b"half a line\nsquib.ready\nsquib.exit\n"


def test_a_message_of_many_lines_says_on_each_whose_it_is(pipe: Pipe) -> None:
    pipe.out.message("one\ntwo")
    pipe.out.message("")
    assert pipe.writes() == b"\nsquib: one\nsquib: two\nsquib: \n"


def test_a_broken_console_is_survived(pipe: Pipe) -> None:
    os.close(pipe.read_end)
    pipe.out.write("squib.boot")  # EPIPE
    os.close(pipe.write_end)
    pipe.out.write("squib.boot")  # EBADF
    pipe.out.drain(0.1)


def test_a_lone_surrogate_of_a_file_name_is_its_byte() -> None:
    assert console.encode(os.fsdecode(b"/run/\xff")) == "/run/%FF"
