"""Whoever is killed, at whatever moment of a machine's life: nothing of it is left, and what should go on goes on."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from program import Squib, free_port

pytestmark = [pytest.mark.vm, pytest.mark.usefixtures("qemu"), pytest.mark.timeout(300)]

PATIENCE_S = 60.0
DYING = r"""
import os, signal, time
from squib.guest.handler import Response


def answer(request):
    if request.target == "/die":
        os.kill(os.getpid(), signal.SIGKILL)
    if request.target == "/hang":
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))
        os.write(2, b"hanging now\n")
        time.sleep(3600)
    return Response(b"here")
"""


def ask(port: int, target: str = "/") -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", target)
        return connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return b""
    finally:
        connection.close()


def until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def machines(squib: Squib) -> list[dict[str, object]]:
    found = json.loads(squib.ok("ps", "--json"))
    assert isinstance(found, list)
    return found


def nothing_left(squib: Squib) -> None:
    assert machines(squib) == []
    until(lambda: squib.processes() == [])
    assert list(folder(squib).glob("*")) == []


def folder(squib: Squib) -> Path:
    return squib.home / "state/squib/machines"


def consoles(squib: Squib) -> list[bytes]:
    found = []
    for path in folder(squib).glob("*/console.log"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes())
    return found


def dying(squib: Squib, tables: str = "") -> int:
    """A detached machine whose server can be told to die; its port on the host."""
    (squib.home / "dying.py").write_text(DYING)
    keys = '[keys.port]\ntype = "port"\ndefault = 8000\n[machine]\nmemory = "112M"\n'
    (squib.home / "appliance.toml").write_text(f'name = "dying"\nserve = "dying:answer"\n{keys}{tables}')
    port = free_port()
    squib.ok("run", "--detach", "--publish", f"{port}:8000")
    return port


MOMENTS: dict[str, Callable[[Squib], bool]] = {
    "reserved": lambda squib: (squib.home / "state/squib/state.db").exists(),
    "folder": lambda squib: folder(squib).exists() and any(folder(squib).iterdir()),
    "spawned": lambda squib: len(squib.processes()) == 2,
    "booting": lambda squib: any(b"squib.boot" in console for console in consoles(squib)),
    "ready": lambda squib: any(b"squib.ready" in console for console in consoles(squib)),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_squib_is_killed_while_it_starts_a_machine(squib: Squib, moment: str) -> None:
    squib.ok("build", "clock", "-o", "out")
    with squib.start("run", "out", "--accel", "tcg") as process:
        until(lambda: MOMENTS[moment](squib))
        process.kill()
        process.communicate(timeout=PATIENCE_S)
    nothing_left(squib)
    port = free_port()
    squib.ok("run", "out", "--detach", "--publish", f"{port}:80")
    assert b'"time"' in ask(port)
    squib.ok("rm", "--force", "clock")
    nothing_left(squib)


def test_squib_is_killed_while_it_stops_a_machine(squib: Squib) -> None:
    squib.ok("run", "clock", "--detach")
    with squib.start("stop", "clock") as process:
        until(lambda: any(b"squib.exit" in console for console in consoles(squib)) or machines(squib)[0]["state"] == "stopping")
        process.kill()
        process.communicate(timeout=PATIENCE_S)
    (stopped,) = json.loads(squib.ok("stop", "clock", "--json"))
    assert (stopped["state"], stopped["exit_status"]) == ("exited", 0)
    squib.ok("rm", "clock")
    nothing_left(squib)


def test_squib_is_killed_while_it_builds(squib: Squib) -> None:
    with squib.start("build", "clock", "-o", "out") as process:
        until(lambda: any(squib.home.rglob(".staging-*")))
        process.kill()
        process.communicate(timeout=PATIENCE_S)
    until(lambda: squib.processes() == [])
    assert not (squib.home / "out/manifest.json").exists()
    squib.ok("build", "clock", "-o", "out")
    assert (squib.home / "out/manifest.json").exists()


def test_a_vmm_that_is_killed_while_it_boots(squib: Squib) -> None:
    squib.ok("build", "clock", "-o", "out")
    with squib.start("run", "out", "--accel", "tcg") as process:
        until(lambda: MOMENTS["booting"](squib))
        (qemu,) = (pid for pid in squib.processes() if pid != process.pid)
        os.kill(qemu, signal.SIGKILL)
        _, said = process.communicate(timeout=PATIENCE_S)
        assert process.returncode in {70, 71}, said
    assert "Traceback" not in said
    nothing_left(squib)


def test_a_stopped_vmm_is_ended_at_the_deadline(squib: Squib) -> None:
    squib.ok("run", "clock", "--detach")
    (machine,) = machines(squib)
    os.kill(int(str(machine["pid"])), signal.SIGSTOP)
    (ended,) = json.loads(squib.ok("stop", "clock", "--timeout", "1", "--json"))
    assert (ended["state"], ended["ended_by"]) == ("failed", "force")
    squib.ok("rm", "clock")
    nothing_left(squib)


def test_a_server_that_dies_is_started_again_each_time(squib: Squib) -> None:
    port = dying(squib)
    for _ in range(3):
        ask(port, "/die")
        until(lambda: ask(port) == b"here")
    (seen,) = json.loads(squib.ok("inspect", "dying", "--json"))
    assert seen["state"] == "running"
    assert seen["server_restarts"] >= 3
    assert seen["server_restart_cause"] == "signal:9"
    squib.ok("rm", "--force", "dying")
    nothing_left(squib)


def test_a_server_that_dies_too_often_ends_its_machine(squib: Squib) -> None:
    port = dying(squib, "[restart]\ntries = 2\n")
    until(lambda: ask(port, "/die") == b"" and b"squib.exit" in b"".join(consoles(squib)))
    assert squib.run("wait", "dying").returncode == 70
    (seen,) = machines(squib)
    assert (seen["exit_status"], seen["ended_by"]) == (70, "server")
    assert seen["exit_reason"] == "crashed: signal 9 (SIGKILL)"
    squib.ok("rm", "dying")
    nothing_left(squib)


@contextlib.contextmanager
def hanging(squib: Squib) -> Iterator[None]:
    """A machine whose server is deaf to the wish to stop: its handler blocks all signals and sleeps."""
    connection = http.client.HTTPConnection("127.0.0.1", dying(squib), timeout=PATIENCE_S)
    with contextlib.closing(connection):
        connection.request("GET", "/hang")
        until(lambda: any(b"hanging now" in console for console in consoles(squib)))
        yield


def test_a_server_that_does_not_stop_is_killed_at_its_deadline(squib: Squib) -> None:
    with hanging(squib):
        (ended,) = json.loads(squib.ok("stop", "dying", "--timeout", "40", "--json"))
    assert (ended["state"], ended["exit_status"]) == ("failed", 75)
    squib.ok("rm", "dying")
    nothing_left(squib)


def test_a_vmm_that_is_killed_while_its_guest_stops(squib: Squib) -> None:
    with hanging(squib):
        (machine,) = machines(squib)
        with squib.start("stop", "dying", "--timeout", "40", "--json") as process:
            until(lambda: machines(squib)[0]["state"] == "stopping")
            os.kill(int(str(machine["pid"])), signal.SIGKILL)
            out, said = process.communicate(timeout=PATIENCE_S)
            assert process.returncode == 0, said
    (ended,) = json.loads(out)
    assert (ended["state"], ended["ended_by"]) == ("failed", "vmm")
    squib.ok("rm", "dying")
    nothing_left(squib)
