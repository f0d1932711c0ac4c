"""`squib run` on real Firecracker and real KVM, from the command line: a whole life, for a plain user; faults; and none left."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.conftest import GUEST, Artifacts, ask
from program import Squib

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

PATIENCE_S = 120.0


def machines(squib: Squib) -> list[dict[str, object]]:
    found = json.loads(squib.ok("ps", "--json"))
    assert isinstance(found, list)
    return found


def until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def folders(squib: Squib) -> list[Path]:
    return list((squib.home / "state/squib/machines").glob("*"))


def firecracker(squib: Squib) -> int:
    """The one Firecracker of this squib's, or 0."""
    for pid in squib.processes():
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().startswith("firecracker"):
                return pid
    return 0


def nothing_left(squib: Squib) -> None:
    assert machines(squib) == []
    until(lambda: squib.processes() == [])
    assert folders(squib) == []


def test_auto_takes_firecracker_for_a_plain_user_and_it_lives_a_whole_life(
    plain_user: Squib, artifacts: Artifacts, tap0: str
) -> None:
    done = plain_user.run("run", str(artifacts["clock"]), "--tap", tap0, "--detach")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"clock http://{GUEST}:80\n"
    assert "booting in firecracker, 128 MiB, 1 vCPU" in done.stderr
    assert ask().startswith('{ "time": "20')
    assert plain_user.ok("probe", f"http://{GUEST}", "-n", "2", "--interval", "0").count('{ "time": "20') == 2
    (machine,) = machines(plain_user)
    assert (machine["name"], machine["state"], machine["vmm"]) == ("clock", "running", "firecracker")
    assert "listening on 80/TCP" in plain_user.ok("logs", "clock")
    # What a machine costs when nobody looks: its Firecracker and nothing of squib.
    assert plain_user.processes() == [firecracker(plain_user)]
    assert plain_user.ok("stop", "clock") == "clock: stopped\n"
    (machine,) = machines(plain_user)
    assert (machine["state"], machine["exit_status"], machine["ended_by"]) == ("exited", 0, "stop")
    assert "squib.exit abi=3 status=0 reason=stopped" in plain_user.ok("logs", "clock")
    plain_user.ok("rm", "clock")
    nothing_left(plain_user)


def test_a_foreground_run_ends_by_ctrl_c(squib: Squib, artifacts: Artifacts, tap0: str) -> None:
    with squib.start("run", str(artifacts["clock"]), "--vmm", "firecracker", "--no-jailer", "--tap", tap0) as process:
        assert process.stderr is not None
        said = iter(process.stderr.readline, "")
        assert any("Ctrl-C stops it" in line for line in said)
        assert ask().startswith('{ "time": "20')
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert "squib.exit abi=3 status=0" in out
    nothing_left(squib)


MOMENTS: dict[str, Callable[[Squib], bool]] = {
    "folder": lambda squib: bool(folders(squib)),
    "spawned": lambda squib: bool(firecracker(squib)),
    "booting": lambda squib: any(
        (folder / "console.log").stat().st_size for folder in folders(squib) if (folder / "console.log").exists()
    ),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_squib_is_killed_while_it_starts(squib: Squib, artifacts: Artifacts, tap0: str, moment: str) -> None:
    with squib.start("run", str(artifacts["clock"]), "--vmm", "firecracker", "--no-jailer", "--tap", tap0) as process:
        until(lambda: MOMENTS[moment](squib))
        process.kill()
        process.communicate(timeout=PATIENCE_S)
    nothing_left(squib)


def test_firecracker_is_killed_while_it_starts_and_while_it_serves(squib: Squib, artifacts: Artifacts, tap0: str) -> None:
    with squib.start("run", str(artifacts["clock"]), "--vmm", "firecracker", "--no-jailer", "--tap", tap0) as process:
        until(lambda: firecracker(squib))
        os.kill(firecracker(squib), signal.SIGKILL)
        _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode in {70, 71}, err
    assert "signal 9" in err
    assert "Traceback" not in err
    nothing_left(squib)
    squib.ok("run", str(artifacts["clock"]), "--vmm", "firecracker", "--no-jailer", "--tap", tap0, "--detach")
    os.kill(firecracker(squib), signal.SIGKILL)
    until(lambda: machines(squib)[0]["state"] == "failed")
    assert machines(squib)[0]["ended_by"] == "vmm"
    squib.ok("rm", "clock")
    nothing_left(squib)
