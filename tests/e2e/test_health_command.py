"""Health checks and restart policies in real machines: what hangs is started again, and what ended a machine is told."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from program import Squib, free_port

pytestmark = [pytest.mark.vm, pytest.mark.usefixtures("qemu"), pytest.mark.timeout(300)]

PATIENCE_S = 60.0
HEAD = '[keys.port]\ntype = "port"\ndefault = 8000\n[machine]\nmemory = "112M"\n'
HANGING = """
import os, time
from squib.guest.handler import Response

def answer(request):
    match request.target:
        case "/hang":
            time.sleep(3600)
        case "/end":
            os._exit(3)
        case "/done":
            os._exit(0)
    return Response(b"here")
"""


def appliance(folder: Path, tables: str) -> None:
    (folder / "hanging.py").write_text(HANGING)
    (folder / "appliance.toml").write_text(f'name = "hanging"\nserve = "hanging:answer"\n{HEAD}{tables}')


def ask(port: int, target: str = "/", timeout: float = PATIENCE_S) -> bytes:
    """The body of an answer; what hangs or dies gives none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", target)
        return connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return b""
    finally:
        connection.close()


class Foreground:
    """`squib run` in the foreground, with what it says, line by line."""

    def __init__(self, squib: Squib, *arguments: str) -> None:
        self.process: subprocess.Popen[str] = squib.start("run", *arguments)
        self.console = ""
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.console = self.process.stdout.read()

    def says(self, words: str) -> None:
        """Reads its words until `words` are among them."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            if words in line:
                return
        self._reader.join(60)
        pytest.fail(f"it never said {words!r}:\n{''.join(self.said)}\n{self.console}")

    def ended(self) -> int:
        assert self.process.stderr is not None
        self.said += self.process.stderr.readlines()
        status = self.process.wait(PATIENCE_S)
        self._reader.join(60)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return status


def test_what_hangs_is_started_again_and_answers_again(squib: Squib, tmp_path: Path) -> None:
    appliance(tmp_path, '[health]\npath = "/healthz"\ninterval = "1s"\ntimeout = "1s"\nfailures = 2\n')
    port = free_port()
    run = Foreground(squib, "--publish", f"{port}:8000")
    run.says("is ready at")
    assert ask(port) == b"here"
    assert ask(port, "/hang") == b"", "the server is killed while it hangs"
    run.says("the health check failed 2 times in a row: no answer in time; the server is killed")
    run.says("the server died (its health check failed); it is started again in 0.1 s")
    run.says("the server is ready again")
    assert ask(port) == b"here"
    (machine,) = json.loads(squib.ok("ps", "--json"))
    assert machine["ready"] is True
    run.process.send_signal(signal.SIGINT)
    assert run.ended() == 0, run.said
    assert "\nsquib.restart abi=3 attempt=1 delay_ms=100 cause=health" in run.console
    lines = [line.split()[0] for line in run.console.splitlines() if line.startswith("squib.")]
    assert lines[:3] == ["squib.boot", "squib.health", "squib.ready"]


@pytest.mark.parametrize(
    ("policy", "target", "status", "words"),
    [
        ("never", "/end", 70, "squib: server: crashed: exit status 3 (status 70)"),
        ("on-failure", "/done", 0, ""),
    ],
)
def test_a_machine_that_ends_with_its_server(
    squib: Squib, tmp_path: Path, policy: str, target: str, status: int, words: str
) -> None:
    appliance(tmp_path, f'[restart]\npolicy = "{policy}"\n')
    port = free_port()
    run = Foreground(squib, "--publish", f"{port}:8000")
    run.says("is ready at")
    ask(port, target)
    assert run.ended() == status
    assert words in "".join(run.said)
    assert squib.processes() == []


def test_a_detached_machine_tells_how_its_server_ended(squib: Squib, tmp_path: Path) -> None:
    appliance(tmp_path, '[restart]\npolicy = "never"\n[health]\n')
    port = free_port()
    squib.ok("run", "--detach", "--publish", f"{port}:8000")
    (seen,) = json.loads(squib.ok("inspect", "hanging", "--json"))
    assert (seen["health"], seen["server_restarts"]) == ("ok", 0)
    ask(port, "/end")
    assert squib.run("wait", "hanging").returncode == 70
    (machine,) = json.loads(squib.ok("ps", "--json"))
    assert (machine["exit_status"], machine["exit_reason"], machine["ended_by"]) == (70, "crashed: exit status 3", "server")
    assert "server: crashed: exit status 3 (status 70), " in squib.ok("ps")
    squib.ok("rm", "hanging")


def test_a_vmm_that_is_killed_is_told_apart(squib: Squib, tmp_path: Path) -> None:
    appliance(tmp_path, "")
    run = Foreground(squib, "--publish", "0:8000")
    run.says("Ctrl-C stops it")
    (qemu,) = (pid for pid in squib.processes() if pid != run.process.pid)
    os.kill(qemu, signal.SIGKILL)
    assert run.ended() == 71
    assert "squib: VMM: " in "".join(run.said)
    deadline = time.monotonic() + PATIENCE_S
    while squib.processes() and time.monotonic() < deadline:
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ('[health]\ninterval = "soon"\n', "health.interval: 'soon': expected a whole number"),
        ('[restart]\npolicy = "maybe"\n', "restart.policy: expected one of always, on-failure, never"),
    ],
)
def test_bad_tables_are_told_before_anything_is_started(squib: Squib, tmp_path: Path, tables: str, said: str) -> None:
    appliance(tmp_path, tables)
    done = squib.run("run", "--detach")
    assert done.returncode == 65
    assert said in done.stderr
    assert "appliance.toml:" in done.stderr
    assert squib.processes() == []
