"""`squib run --vmm firecracker` and the life of such machines, on a Firecracker whose guest is made up: anywhere, without KVM."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import fake_firecracker
from program import Squib

pytestmark = [pytest.mark.vm, pytest.mark.timeout(300)]  # a kernel package is all that it needs

PATIENCE_S = 60.0
STEPS = ("socket", "/metrics", "/machine-config", "/boot-source", "/drives/rootfs", "/entropy", "/actions:InstanceStart")
RUN = ("run", "clock", "--vmm", "firecracker", "--no-jailer", "--network", "none", "--name", "one")
BUILT = ("run", "out", *RUN[2:])


@pytest.fixture
def fake(squib: Squib, tmp_path: Path) -> Callable[[str], Squib]:
    """Squib with a fake Firecracker first on its PATH, with that trouble."""

    def with_trouble(trouble: str = "") -> Squib:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        fake_firecracker.write(folder, trouble)
        return replace(squib, extra=squib.extra | {"PATH": f"{folder}:{os.environ['PATH']}"})

    return with_trouble


def until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def folders(squib: Squib) -> list[Path]:
    return list((squib.home / "state/squib/machines").glob("*"))


def nothing_left(squib: Squib) -> None:
    assert json.loads(squib.ok("ps", "--json")) == []
    until(lambda: squib.processes() == [])
    assert folders(squib) == []


def test_a_machines_life(fake: Callable[[str], Squib]) -> None:
    squib = fake("")
    done = squib.run(*RUN, "--detach")
    assert (done.returncode, done.stdout) == (0, "one\n"), done.stderr
    assert "one: booting in firecracker, 128 MiB, 1 vCPU" in done.stderr
    assert "asked for" in done.stderr
    assert "one is ready (without a network: " in done.stderr
    (pid,) = squib.processes()  # Firecracker, and nothing of squib
    (machine,) = json.loads(squib.ok("inspect", "one", "--json"))
    assert (machine["vmm"], machine["accel"], machine["pid"], machine["urls"]) == ("firecracker", "kvm", pid, [])
    assert (machine["spec"]["vmm"], machine["spec"]["tap"], machine["ready"]) == ("firecracker", None, True)
    assert "firecracker/kvm" in squib.ok("ps")
    assert "squib.ready" in squib.ok("logs", "one")
    names = {path.name for path in Path(machine["run_dir"]).iterdir()}
    assert names == {"api.sock", "console.log", "console.log.seen", "firecracker.log", "metrics.jsonl", "stderr.log"}
    assert squib.ok("restart", "one", "--quiet") == "one\n"
    (again,) = json.loads(squib.ok("inspect", "one", "--json"))
    assert (again["vmm"], again["restarts"], again["pid"] != pid) == ("firecracker", 1, True)
    assert squib.ok("stop", "one") == "one: stopped\n"
    (ended,) = json.loads(squib.ok("ps", "--json"))
    assert (ended["state"], ended["ended_by"], ended["exit_status"]) == ("exited", "stop", 0)
    squib.ok("rm", "one")
    nothing_left(squib)


def test_in_the_foreground(fake: Callable[[str], Squib]) -> None:
    squib = fake("")
    process = squib.start(*RUN)
    until(lambda: any(b"squib.ready" in path.read_bytes() for folder in folders(squib) for path in folder.glob("console.log")))
    until(lambda: json.loads(squib.ok("ps", "--json"))[0]["state"] == "running")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert "squib.exit abi=3 status=0 reason=stopped" in out
    nothing_left(squib)


@pytest.mark.parametrize("status", [0, 1])
def test_a_guest_that_kvm_gives_up(fake: Callable[[str], Squib], status: int) -> None:
    """Its own words, and what is behind /dev/kvm; as a KVM without hardware does it after half a minute."""
    squib = fake(f"kvm:{status}")
    done = squib.run(*RUN)
    assert done.returncode == 71, done.stderr
    assert (
        f"Firecracker ended with exit status {status} while it was asked to boot the guest: KVM failed (driver " in done.stderr
    )
    assert "| Error: RunWithApi(MicroVMStoppedWithError(GenericError))" in done.stderr
    assert "Received KVM_EXIT_INTERNAL_ERROR signal" in done.stderr
    assert "try: use --vmm qemu, or a host with hardware virtualisation" in done.stderr
    nothing_left(squib)


def hangs(squib: Squib, before: str) -> bool:
    """Whether a Firecracker runs that was asked for `before`, and not for more."""
    logs = [folder / "firecracker.log" for folder in folders(squib)]
    return len(squib.processes()) == 2 and any(log.exists() and before in log.read_text() for log in logs)


def test_a_squib_that_is_killed_at_each_step_of_a_start(fake: Callable[[str], Squib]) -> None:
    """Firecracker hangs there; the next command ends it."""
    fake("").ok("build", "clock", "-o", "out", "-q")
    for number, step in enumerate(STEPS):
        squib = fake(f"hang:{step}")
        with squib.start(*BUILT, "--detach", "--quiet") as process:
            try:
                until(lambda squib=squib, before=["", "listening", *STEPS[1:]][number]: hangs(squib, before))  # type: ignore[misc]
            finally:
                process.kill()
            process.communicate(timeout=PATIENCE_S)
        until(lambda squib=squib: len(squib.processes()) == 1)  # type: ignore[misc]  # none, while it is being executed
        nothing_left(squib)


def test_a_firecracker_that_dies_at_each_step_of_a_start(fake: Callable[[str], Squib]) -> None:
    fake("").ok("build", "clock", "-o", "out", "-q")
    for step in STEPS:
        squib = fake(f"die:{step}")
        done = squib.run(*BUILT, "--detach", "--quiet")
        assert (done.returncode, done.stdout) == (71, ""), step
        assert "Firecracker was killed by signal 9 while it was asked to" in done.stderr
        assert "the fake dies, as it was told to" in done.stderr
        nothing_left(squib)


def test_a_firecracker_that_is_killed_while_it_runs(fake: Callable[[str], Squib]) -> None:
    squib = fake("")
    squib.ok(*RUN, "--detach", "--quiet")
    (pid,) = squib.processes()
    os.kill(pid, signal.SIGKILL)
    until(lambda: squib.processes() == [])
    (machine,) = json.loads(squib.ok("ps", "--json"))
    assert (machine["state"], machine["ended_by"]) == ("failed", "vmm")
    squib.ok("restart", "one", "--quiet")
    squib.ok("rm", "--force", "one")
    nothing_left(squib)


def test_a_guest_that_hears_nothing_is_ended_by_force(fake: Callable[[str], Squib]) -> None:
    squib = fake("deaf")
    squib.ok(*RUN, "--detach", "--quiet")
    done = squib.run("stop", "one", "--timeout", "0.3", "--json")
    (machine,) = json.loads(done.stdout)
    assert (machine["state"], machine["ended_by"]) == ("failed", "force")
    squib.ok("rm", "one")
    nothing_left(squib)


def test_stop_needs_no_firecracker_on_the_path(fake: Callable[[str], Squib], squib: Squib) -> None:
    fake("").ok(*RUN, "--detach", "--quiet")
    (squib.home / "bin/firecracker").unlink()
    assert squib.ok("stop", "one") == "one: stopped\n"
    done = squib.run("restart", "one")
    assert done.returncode == 69, "there is none to start it with"
    assert "squib fetch firecracker" in done.stderr
    squib.ok("rm", "one")
    nothing_left(squib)


def test_what_is_shown(fake: Callable[[str], Squib]) -> None:
    squib = fake("")
    tapped = (*RUN, "--tap", "tap7/AA:FC:00:00:00:07", "--ip", "10.9.8.7/24,10.9.8.1")
    requests = squib.ok(*tapped, "--show", "requests").splitlines()
    assert [line.split()[1] for line in requests] == [
        "/metrics", "/machine-config", "/boot-source", "/drives/rootfs", "/network-interfaces/eth0", "/entropy", "/actions",
    ]  # fmt: skip
    assert "ip=10.9.8.7::10.9.8.1:255.255.255.0:one:eth0:off:::" in requests[2]
    assert json.loads(requests[4].split(maxsplit=2)[2])["host_dev_name"] == "tap7"
    assert "bin/firecracker --id one --api-sock api.sock --log-path" in squib.ok(*tapped, "--show", "argv")
    assert '"host_dev_name": "tap7"' in squib.ok(*tapped, "--show", "machine")


@pytest.mark.parametrize(
    ("arguments", "status", "message", "hint"),
    [
        (
            ("--tap", "squibnone"),
            66,
            "there is no tap device squibnone",
            'sudo squib host setup --user "$USER" --tap squibnone',
        ),
        (("--tap", "lo"), 64, "lo is not a tap device", "ip -details"),
        (("--publish", "0:80"), 64, "ports cannot be published", "at its own address"),
        (("--accel", "tcg"), 64, "Firecracker needs KVM", "leave one of them out"),
        (("--ip", "10.0.0.2/24"), 64, "--ip goes with --tap", "name the tap device"),
        (("--tap", "tap0", "--ip", "10.0.0.2"), 64, "is no address for a guest", "CLIENT/PREFIX"),
        (("--tap", "tap0/x"), 64, "'tap0/x' is no tap device", "DEV/MAC"),
        (("--vmm", "qemu", "--tap", "tap0"), 64, "QEMU is not given tap devices", "leave --tap out"),
        (("--vmm", "qemu", "--show", "requests"), 64, "QEMU is told all by its command line", "--show argv"),
    ],
)
def test_bad_input(fake: Callable[[str], Squib], arguments: tuple[str, ...], status: int, message: str, hint: str) -> None:
    squib = fake("")
    done = squib.run(*RUN, *arguments)
    assert (done.returncode, message in done.stderr, hint in done.stderr) == (status, True, True), done.stderr
    nothing_left(squib)


def test_without_firecracker(squib: Squib) -> None:
    done = replace(squib, extra={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}).run(*RUN)
    assert done.returncode == 69
    assert "there is no Firecracker here" in done.stderr
    assert "try: squib fetch firecracker" in done.stderr
    assert not list(squib.home.glob("cache/squib/artifacts/*")), "said before anything was built"
