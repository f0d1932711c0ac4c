"""Root's machines are jailed: what their Firecracker is and may, with real KVM, cgroups and guests; and nothing of it is left."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jail_break import ESCAPED, escape, refusal, taken_over
from lab.conftest import GUEST, MAC, Artifacts, ask
from program import Squib
from squib.model.jail import FIRST_UID, UIDS

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

CGROUPS = Path("/sys/fs/cgroup")
PATIENCE_S = 120.0
RUN = ("--vmm", "firecracker", "--timeout", "240")


@pytest.fixture
def host(squib: Squib) -> Iterator[Squib]:
    """Set up for machines with networks of their own, and put back."""
    squib.ok("host", "setup")
    try:
        yield squib
    finally:
        for machine in json.loads(squib.ok("ps", "--json")):
            squib.ok("rm", "--force", machine["name"])
        squib.ok("host", "teardown", "--force")


def until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def jailed() -> list[int]:
    """The processes of all users that jails may have, and jailers on the way there."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                told = status(int(entry.name))
                if told["Name"] == "jailer" or FIRST_UID <= int(told["Uid"].split()[0]) < FIRST_UID + UIDS:
                    found.append(int(entry.name))
    return found


def taps() -> list[str]:
    return [name for _, name in socket.if_nameindex() if name.startswith("squib")]


def nothing_left(squib: Squib) -> None:
    assert json.loads(squib.ok("ps", "--json")) == []
    assert (jailed(), taps(), squib.processes()) == ([], [], [])
    assert not (CGROUPS / "squib").exists()
    assert not list((squib.home / "state/squib/machines").glob("*"))


def bomb() -> str:
    """Makes processes until it may not: more than its cgroup lets it would be a failure."""

    made: list[int] = []

    def fork() -> None:
        for _ in range(64):
            made.append(os.fork())
            if made[-1] == 0:
                signal.pause()

    try:
        return refusal(fork)
    finally:
        for pid in made:
            os.kill(pid, signal.SIGKILL)


def hog() -> int:
    """Takes memory until it is ended."""
    return len(b"x" * (1 << 30))


def test_a_jailed_machines_life(host: Squib, artifacts: Artifacts) -> None:
    host.ok("run", str(artifacts["tuned"]), *RUN, "--detach", "--publish", "8080:80", "--name", "jailed", timeout=300)
    (machine,) = json.loads(host.ok("inspect", "jailed", "--json"))
    pid, folder = machine["pid"], Path(machine["run_dir"])
    with urllib.request.urlopen("http://127.0.0.1:8080", timeout=60) as answer:
        assert answer.read().startswith(b'{ "time": "20')
    told = status(pid)
    assert FIRST_UID <= int(told["Uid"].split()[0]) < FIRST_UID + UIDS
    assert machine["jail"] == {"uid": int(told["Uid"].split()[0]), "root": f"{folder}/jail/firecracker/{folder.name}/root"}
    assert (told["CapEff"], told["Seccomp"], told["Groups"]) == ("0" * 16, "2", "")
    cgroup = CGROUPS / "squib" / folder.name
    assert Path(f"/proc/{pid}/cgroup").read_text().strip() == f"0::/squib/{folder.name}"
    memory_mib, vcpus = machine["memory_mib"], machine["vcpus"]
    limits = {name: (cgroup / name).read_text().strip() for name in ("memory.max", "cpu.max", "pids.max")}
    assert limits == {
        "memory.max": str((memory_mib + memory_mib // 32 + 32) << 20),
        "cpu.max": f"{vcpus * 100000} 100000",
        "pids.max": str(vcpus + 8),
    }
    assert taken_over(pid, escape) == ESCAPED
    assert taken_over(pid, bomb, cgroup=cgroup) == "EAGAIN"
    assert taken_over(pid, hog, cgroup=cgroup) == "died: SIGKILL"
    # It goes on serving meanwhile, and nothing stands beside it.
    with urllib.request.urlopen("http://127.0.0.1:8080", timeout=60) as answer:
        assert answer.status == 200
    assert host.ok("stop", "jailed", timeout=120) == "jailed: stopped\n"
    assert not (folder / "jail").exists()
    assert (jailed(), taps()) == ([], [])
    assert not (CGROUPS / "squib").exists()
    assert (folder / "firecracker.log").exists(), "logs stay"
    # And once more, in a jail anew.
    host.ok("restart", "jailed", timeout=300)
    (again,) = json.loads(host.ok("ps", "--json"))
    assert (again["state"], len(jailed())) == ("running", 1)
    host.ok("rm", "--force", "jailed")
    nothing_left(host)


def test_without_the_jailer_it_is_said_what_is_given_up(squib: Squib, artifacts: Artifacts, tap0: str) -> None:
    run = ("run", str(artifacts["tuned"]), *RUN, "--tap", f"{tap0}/{MAC}", "--name", "free", "--detach")
    refused = squib.run(*run, timeout=300)
    assert (refused.returncode, "has an owner" in refused.stderr) == (77, True), refused.stderr
    done = squib.run(*run, "--no-jailer", timeout=300)
    assert done.returncode == 0, done.stderr
    assert "without the jailer: Firecracker runs as root" in done.stderr
    assert ask().startswith('{ "time": "20')
    (pid,) = squib.processes()
    assert status(pid)["Uid"].split()[0] == "0"
    squib.ok("rm", "--force", "free")
    nothing_left(squib)


def test_the_seeds_tap_in_a_jail(squib: Squib, artifacts: Artifacts) -> None:
    """A tap that has no owner, as the seed makes it, is open to the jail's user; then the jail has the host's network."""
    for line in ("tuntap add tap0 mode tap", "addr add 172.17.100.1/24 dev tap0", "link set tap0 up"):
        subprocess.run(["ip", *line.split()], check=True)
    try:
        squib.ok("run", str(artifacts["tuned"]), *RUN, "--tap", f"tap0/{MAC}", "--name", "seed", "--detach", timeout=300)
        assert ask().startswith('{ "time": "20'), GUEST
        assert len(jailed()) == 1
        squib.ok("rm", "--force", "seed")
        nothing_left(squib)
    finally:
        subprocess.run(["ip", "link", "del", "tap0"], check=True)


def machines(squib: Squib) -> list[Path]:
    return list((squib.home / "state/squib/machines").glob("*"))


MOMENTS: dict[str, Callable[[Squib], bool]] = {
    "the jail is filled": lambda squib: any(folder.glob("jail/*/*/root/*") for folder in machines(squib)),
    "the jailer runs": lambda squib: bool(jailed()),
    "the cgroup is there": lambda squib: (CGROUPS / "squib").exists(),
    "the tap is brought": lambda squib: bool(taps()),
    "it boots": lambda squib: any(
        (folder / "console.log").stat().st_size for folder in machines(squib) if (folder / "console.log").exists()
    ),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_squib_is_killed_while_it_starts(host: Squib, artifacts: Artifacts, moment: str) -> None:
    with host.start("run", str(artifacts["tuned"]), *RUN) as process:
        until(lambda: MOMENTS[moment](host))
        process.kill()
        process.communicate(timeout=PATIENCE_S)
    nothing_left(host)


@pytest.mark.parametrize("moment", ["the jailer runs", "the cgroup is there", "the tap is brought", "it boots"])
def test_the_jailer_or_firecracker_is_killed_while_it_starts(host: Squib, artifacts: Artifacts, moment: str) -> None:
    with host.start("run", str(artifacts["tuned"]), *RUN) as process:
        until(lambda: MOMENTS[moment](host))
        for pid in jailed():
            os.kill(pid, signal.SIGKILL)
        try:
            _, err = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    assert process.returncode in {70, 71}, err
    assert "signal 9" in err
    assert "Traceback" not in err
    nothing_left(host)
