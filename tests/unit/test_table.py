"""Tables: plain text away from a terminal, to the byte; on a terminal bold, coloured, and never wider than it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from squib.cli.table import _STYLES, print_table
from squib.model.findings import Level
from squib.model.machine import VmState

HEAD = ("NAME", "STATE", "URL")
ROWS = [("clock", "running", "http://127.0.0.1:8080"), ("shop-2", "failed (the [guest] gave up)", "")]
SCRIPT = f"from squib.cli.table import print_table\nprint_table({HEAD!r}, {ROWS!r})\n"
PROGRESS = (
    "import sys\nfrom squib.cli.progress import progress\n"
    "with progress() as report:\n    report('packing', 0.5)\nprint('rich' in sys.modules)\n"
)
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_a_terminal(script: str, *, columns: int = 80, **environment: str) -> str:
    """What a Python `script` shows on a pseudo-terminal of that width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"}}
    env |= {"TERM": "xterm-256color", "LANG": "C.UTF-8"} | environment
    child = subprocess.Popen([sys.executable, "-c", script], stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(ours, 4096):
            seen += chunk
    except OSError:  # EIO: the other side is closed
        pass
    finally:
        os.close(ours)
    assert child.wait(30) == 0, seen
    return seen.decode().replace("\r\n", "\n")


def test_plain_text_away_from_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(HEAD, ROWS)
    assert capsys.readouterr().out == (
        "NAME    STATE                         URL\n"
        "clock   running                       http://127.0.0.1:8080\n"
        "shop-2  failed (the [guest] gave up)\n"
    )
    print_table(HEAD, [])
    assert capsys.readouterr().out == "NAME  STATE  URL\n"


def test_away_from_a_terminal_rich_is_not_loaded() -> None:
    script = SCRIPT + "import sys\nprint([name for name in sys.modules if name.split('.')[0] == 'rich'])\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.endswith("[]\n")


def test_on_a_terminal_heads_are_bold_and_states_coloured() -> None:
    shown = on_a_terminal(SCRIPT)
    assert "\x1b[1mNAME" in shown
    assert "\x1b[32mrunning" in shown
    assert "\x1b[1;31mfailed (the [guest] gave up)" in shown
    words = _ESCAPES.sub("", shown).split()
    assert words == [word for row in [HEAD, *ROWS] for cell in row for word in cell.split()]


def test_every_state_has_its_look() -> None:
    assert set(_STYLES) == {*map(str, VmState), *map(str, Level)}


def test_it_is_never_wider_than_the_terminal_and_loses_nothing() -> None:
    lines = _ESCAPES.sub("", on_a_terminal(SCRIPT, columns=40)).splitlines()
    assert max(map(len, lines)) <= 40
    text = re.sub(r"\s", "", "".join(lines))
    for part in ("clock", "running", "shop-2", "gaveup)"):
        assert part in text
    pieces = [piece for line in lines for piece in line.split() if re.search(r"http|127|8080|//", piece)]
    assert "".join(pieces) == "http://127.0.0.1:8080"


@pytest.mark.parametrize("columns", [60, 80, 100])
def test_a_url_stays_whole(columns: int) -> None:
    head = ("NAME", "STATE", "READY", "UPTIME", "MEMORY", "VMM", "URL OR END")
    urls = "http://127.0.0.1:8080 http://172.17.100.200:65535"
    rows = [("webserver-12", "running", "yes", "2 min 3 s", "128 MiB", "qemu/tcg", urls)]
    script = f"from squib.cli.table import print_table\nprint_table({head!r}, {rows!r})\n"
    lines = _ESCAPES.sub("", on_a_terminal(script, columns=columns)).splitlines()
    assert max(map(len, lines)) <= columns
    assert set(urls.split()) <= {word for line in lines for word in line.split()}


def test_no_color_means_no_colour() -> None:
    shown = on_a_terminal(SCRIPT, NO_COLOR="1")
    assert "\x1b[1mNAME" in shown
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", shown)


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_dumb_terminal_gets_plain_text(term: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_table(HEAD, ROWS)
    assert on_a_terminal(SCRIPT, TERM=term) == capsys.readouterr().out


def test_progress_is_live_on_a_terminal_and_plain_on_a_dumb_one() -> None:
    live = on_a_terminal(PROGRESS)
    assert "packing" in live
    assert "\x1b[" in live
    assert live.rstrip().endswith("True")
    assert on_a_terminal(PROGRESS, TERM="dumb") == "False\n"
