"""`squib logs` on a real microVM: all and the newest, followed by several over a cut and a restart, and a flood that stays bounded."""

from __future__ import annotations

import http.client
import json
import os
import pty
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from program import Squib, free_port
from squib.vmm.run_dir import CONSOLE_MAX_BYTES

pytestmark = [pytest.mark.vm, pytest.mark.usefixtures("qemu"), pytest.mark.timeout(300)]

PATIENCE_S = 60.0
POURING = r"""
import os, threading
from squib.guest.handler import Response

pouring = threading.Event()


def pour():
    while True:
        pouring.wait()
        os.write(2, b"flood " * 20 + b"\n")


threading.Thread(target=pour, daemon=True).start()


def answer(request):
    match request.target:
        case "/flood":
            pouring.set()
        case "/still":
            pouring.clear()
        case "/escape":
            os.write(2, b"evil \x1b[2J\x1b]0;title\x07\n")
    return Response(b"here")
"""


def ask(port: int, target: str = "/") -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request("GET", target)
    body = connection.getresponse().read()
    connection.close()
    return body


def until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def pouring(squib: Squib, folder: Path) -> tuple[int, Path]:
    """Starts the machine `pour`; its port on the host, and its console."""
    (folder / "pouring.py").write_text(POURING)
    (folder / "appliance.toml").write_text(
        'name = "pour"\nserve = "pouring:answer"\n[keys.port]\ntype = "port"\ndefault = 8000\n[machine]\nmemory = "112M"\n'
    )
    port = free_port()
    squib.ok("run", "--detach", "--publish", f"{port}:8000", "--logs", "info")
    (seen,) = json.loads(squib.ok("inspect", "pour", "--json"))
    return port, Path(seen["console_log"])


class Reader:
    """A process whose standard output is read as it comes; of that, PID 1's lines are kept."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.text = ""
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("squib."):
                self.text += line

    def ended(self) -> int:
        status = self.process.wait(PATIENCE_S)
        self._thread.join(PATIENCE_S)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return status


def test_a_machines_log(squib: Squib, tmp_path: Path) -> None:
    port, console = pouring(squib, tmp_path)
    ask(port, "/escape")
    until(lambda: b"evil" in console.read_bytes())
    said = squib.ok("logs", "pour")
    assert "squib.ready abi=3" in said
    assert "evil \x1b[2J\x1b]0;title\x07\n" in said, "no terminal: the bytes as they are"
    assert squib.ok("logs", "pour", "-n", "1") == said.splitlines(keepends=True)[-1]
    assert squib.ok("logs", "pour", "--tail", "0") == ""
    assert squib.ok("logs", "pour", "--since", "1d") == said
    assert squib.ok("logs", "pour", "--since", "2100-01-01") == ""
    lines = [json.loads(line) for line in squib.ok("logs", "pour", "--json").splitlines()]
    assert len(lines) == len(said.splitlines())
    assert {line["source"] for line in lines} >= {"server", "init"}
    for line in lines:
        assert set(line) == {"time", "source", "text"}
        assert (line["time"] is not None) is (line["source"] == "server")

    main, side = pty.openpty()
    shown = subprocess.run([*squib.command, "logs", "pour"], stdout=side, env=squib.env, cwd=tmp_path, check=True, timeout=60)
    os.close(side)
    seen = b""
    try:
        while chunk := os.read(main, 1 << 16):
            seen += chunk
    except OSError:  # EIO: all was read
        pass
    os.close(main)
    assert shown.returncode == 0
    assert rb"evil \x1b[2J\x1b]0;title\x07" in seen
    assert b"\x1b" not in seen

    squib.ok("stop", "pour")
    assert "squib.exit abi=3 status=0 reason=stopped" in squib.ok("logs", "pour")
    assert "squib.exit" in squib.ok("logs", "--follow", "pour"), "it has ended, and so does this"
    squib.ok("rm", "pour")
    gone = squib.run("logs", "pour")
    assert gone.returncode == 66
    assert "there is no machine pour" in gone.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--since", "yesterday", "x"), "neither a duration"),
        (("--since", "10", "x"), "neither a duration"),
        (("--since", "2026-02-30", "x"), "neither a duration"),
        (("-n", "-1", "x"), "expected 0 to 1000000000, got -1"),
        (("-n", "many", "x"), "expected a whole number"),
        ((), "NAME is missing"),
    ],
)
def test_bad_words(squib: Squib, arguments: tuple[str, ...], words: str) -> None:
    done = squib.run("logs", *arguments)
    assert done.returncode == 64
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_followers_over_a_flood_a_cut_and_a_restart(squib: Squib, tmp_path: Path) -> None:
    port, console = pouring(squib, tmp_path)
    readers = [Reader(squib.start("logs", "-f", "pour")) for _ in range(3)]
    until(lambda: all("squib.ready" in reader.text for reader in readers))

    # A flood on a console that is nearly full: as if nobody had looked for long.
    for reader in readers:
        reader.process.send_signal(signal.SIGSTOP)
    with console.open("ab") as file:
        room = CONSOLE_MAX_BYTES - console.stat().st_size - 50_000
        file.write((b"z" * 99 + b"\n") * (room // 100))
    ask(port, "/flood")
    until(lambda: console.stat().st_size == CONSOLE_MAX_BYTES)
    for _ in range(5):
        assert ask(port) == b"here", "the guest goes on"
    assert console.stat().st_size == CONSOLE_MAX_BYTES
    assert not console.with_name("console.log.1").exists()

    # Whoever looks makes room: the newest lines come again, and the last word has its place.
    for reader in readers:
        reader.process.send_signal(signal.SIGCONT)
    assert "running" in squib.ok("ps")
    until(console.with_name("console.log.1").exists)
    assert ask(port, "/still") == b"here"
    squib.ok("logs", "pour", "--json", "-n", "5")
    assert sum(path.stat().st_size for path in console.parent.iterdir()) < 2 * CONSOLE_MAX_BYTES
    assert "lines are lost here" in squib.ok("logs", "pour")
    squib.ok("restart", "pour", "--quiet")
    until(lambda: all(reader.text.count("squib.ready abi=3") == 2 for reader in readers))
    assert "zzz" not in squib.ok("logs", "pour"), "that was its life before"
    readers[0].process.send_signal(signal.SIGINT)
    assert readers[0].ended() == 130
    (stopped,) = json.loads(squib.ok("stop", "pour", "--json"))
    assert (stopped["exit_status"], stopped["ended_by"]) == (0, "stop")
    for reader in readers[1:]:
        assert reader.ended() == 0
        assert reader.text.count("squib.exit abi=3 status=0 reason=stopped") == 2
        assert reader.text.count("squib.ready abi=3") == 2
    squib.ok("rm", "pour")
    until(lambda: squib.processes() == [])


def test_a_closed_pipe_is_quiet(squib: Squib, tmp_path: Path) -> None:
    _, console = pouring(squib, tmp_path)
    with console.open("ab") as file:
        file.write(b"more than a pipe holds\n" * 20_000)
    process = squib.start("logs", "pour")
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline()
    process.stdout.close()
    assert process.wait(PATIENCE_S) == 141
    assert process.stderr.read() == ""
    process.stderr.close()
    squib.ok("rm", "--force", "pour")
    until(lambda: squib.processes() == [])
