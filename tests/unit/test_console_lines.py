from __future__ import annotations

import pytest

from squib.formats.console_lines import Boot, Exit, Health, Ready, Restart, find, parse


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("squib.boot abi=3 uptime_ms=812", Boot(812)),
        ("squib.ready abi=3 uptime_ms=1050 listen=tcp:0.0.0.0:80", Ready(1050, ("tcp:0.0.0.0:80",))),
        ("squib.ready abi=3 uptime_ms=0 listen=tcp:[::]:80,unix:/run/a%20b%2Cc", Ready(0, ("tcp:[::]:80", "unix:/run/a b,c"))),
        ("squib.restart abi=3 attempt=2 delay_ms=200 cause=signal:9", Restart(2, 200, "signal:9")),
        ("squib.restart abi=3 attempt=1 delay_ms=100 cause=health", Restart(1, 100, "health")),
        ("squib.health abi=3 uptime_ms=9 state=failing failures=2 check=status:503", Health(9, "failing", 2, "status:503")),
        ("squib.exit abi=3 status=64 reason=usage cause=none", Exit(64, "usage")),
        ("squib.exit abi=3 status=70 reason=crashed cause=signal:9", Exit(70, "crashed", "signal:9")),
    ],
)
def test_lines_of_the_abi(line: str, value: object) -> None:
    assert parse(line) == value


@pytest.mark.parametrize(
    "line",
    [
        "",
        " squib.boot abi=3 uptime_ms=1",
        "squib.boot abi=1 uptime_ms=1",
        "squib.boot abi=3 uptime_ms=01",
        "squib.boot abi=3 uptime_ms=-1",
        "squib.boot abi=3 uptime_ms=1 more=2",
        "squib.boot uptime_ms=1 abi=3",
        "squib.boot  abi=3 uptime_ms=1",
        "squib.boot abi=3 uptime_ms=1\n",
        "squib.boot abi=3 uptime_ms=1\u0661",
        "squib.ready abi=3 uptime_ms=1 listen=",
        "squib.ready abi=3 uptime_ms=1 listen=a,,b",
        "squib.ready abi=3 uptime_ms=1 listen=a%2g",
        "squib.restart abi=3 attempt=1 delay_ms=1 cause=bored",
        "squib.exit abi=3 status=256 reason=usage cause=none",
        "squib.exit abi=3 status=0 reason= cause=none",
        "squib.exit abi=3 status=0 reason=stopped",
        "squib.exit abi=3 status=0 reason=stopped cause=",
        "squib.restart abi=3 attempt=1 delay_ms=1 cause=none",
        "squib.health abi=3 uptime_ms=9 state=fine failures=0 check=ok",
        "squib.health abi=3 uptime_ms=9 state=ok failures=0 check=",
        "squib.other abi=3",
        "squib: initrd: cannot mount /dev/vda",
    ],
)
def test_everything_else_is_not_ours(line: str) -> None:
    assert parse(line) is None


def test_lines_are_found_among_others() -> None:
    console = (
        b"[    0.10] Linux\r\nsquib.boot abi=3 uptime_ms=5\r\n\xff\xfe\x00\r\n"
        b"INF squib.boot abi=3 uptime_ms=6\nsquib.exit abi=3 status=0 reason=stopped cause=none\nsquib.boot abi=3 uptime_ms=7"
    )
    assert find(console) == (Boot(5), Exit(0, "stopped"))


def test_a_guest_cannot_command_a_terminal_by_a_value() -> None:
    line = parse("squib.ready abi=3 uptime_ms=1 listen=%1B]0;x%07%1B[2J")
    assert isinstance(line, Ready)
    assert line.listen == (r"\x1b]0;x\x07\x1b[2J",)
