from __future__ import annotations

import pytest

from squib.formats.console_lines import Boot, Exit, Ready, Restart, find, parse


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("squib.boot abi=1 uptime_ms=812", Boot(812)),
        ("squib.ready abi=1 uptime_ms=1050 listen=tcp:0.0.0.0:80", Ready(1050, ("tcp:0.0.0.0:80",))),
        ("squib.ready abi=1 uptime_ms=0 listen=tcp:[::]:80,unix:/run/a%20b%2Cc", Ready(0, ("tcp:[::]:80", "unix:/run/a b,c"))),
        ("squib.restart abi=1 attempt=2 delay_ms=200 cause=signal:9", Restart(2, 200, "signal:9")),
        ("squib.exit abi=1 status=64 reason=usage", Exit(64, "usage")),
    ],
)
def test_lines_of_the_abi(line: str, value: object) -> None:
    assert parse(line) == value


@pytest.mark.parametrize(
    "line",
    [
        "",
        " squib.boot abi=1 uptime_ms=1",
        "squib.boot abi=2 uptime_ms=1",
        "squib.boot abi=1 uptime_ms=01",
        "squib.boot abi=1 uptime_ms=-1",
        "squib.boot abi=1 uptime_ms=1 more=2",
        "squib.boot uptime_ms=1 abi=1",
        "squib.boot  abi=1 uptime_ms=1",
        "squib.boot abi=1 uptime_ms=1\n",
        "squib.boot abi=1 uptime_ms=1\u0661",
        "squib.ready abi=1 uptime_ms=1 listen=",
        "squib.ready abi=1 uptime_ms=1 listen=a,,b",
        "squib.ready abi=1 uptime_ms=1 listen=a%2g",
        "squib.restart abi=1 attempt=1 delay_ms=1 cause=bored",
        "squib.exit abi=1 status=256 reason=usage",
        "squib.exit abi=1 status=0 reason=",
        "squib.other abi=1",
        "squib: initrd: cannot mount /dev/vda",
    ],
)
def test_everything_else_is_not_ours(line: str) -> None:
    assert parse(line) is None


def test_lines_are_found_among_others() -> None:
    console = (
        b"[    0.10] Linux\r\nsquib.boot abi=1 uptime_ms=5\r\n\xff\xfe\x00\r\n"
        b"INF squib.boot abi=1 uptime_ms=6\nsquib.exit abi=1 status=0 reason=stopped\nsquib.boot abi=1 uptime_ms=7"
    )
    assert find(console) == (Boot(5), Exit(0, "stopped"))
