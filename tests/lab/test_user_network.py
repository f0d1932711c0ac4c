"""Firecracker without root: a plain user's machine with a network in namespaces of its own, on real Firecracker and real KVM."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.conftest import Artifacts
from lab.test_host_network_load import LIE, PATIENCE_S, SILENCE_S, TRY, listening, told
from program import Squib

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

HOST = "10.0.2.15"
BEYOND, BEHIND, BESIDE = "198.51.100.1", "198.51.100.2", "203.0.113.2"
"""What the host reaches by its default route, by another route, and on another network of its own."""
RUN = ("--vmm", "firecracker", "--detach", "--json", "--timeout", "300")


def ask(url: str) -> str:
    with urllib.request.urlopen(url, timeout=120) as answer:
        return str(answer.read().decode())


def until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(params=["pasta", "slirp4netns"])
def way_out(request: pytest.FixtureRequest, plain_user: Squib) -> str:
    """The one program that is installed, as far as this user's squib can see."""
    folder = plain_user.home / "bin"
    folder.mkdir()
    for name in (request.param, "nft"):
        (folder / name).symlink_to(str(shutil.which(name)))
    plain_user.extra["PATH"] = f"{folder}:/usr/local/bin"
    return str(request.param)


@pytest.fixture
def beyond() -> Iterator[None]:
    """A server in a network namespace, which is the host's way out; and it has two addresses that a device beside that leads to."""
    commands = (
        "netns add beyond",
        "link add up0 type veth peer name eth0 netns beyond",
        "link add side0 type veth peer name eth1 netns beyond",
        "address add 192.0.2.1/24 dev up0",
        "address add 203.0.113.1/24 dev side0",
        "link set up0 up",
        "link set side0 up",
        "-n beyond address add 192.0.2.2/24 dev eth0",
        f"-n beyond address add {BESIDE}/24 dev eth1",
        "-n beyond link set eth0 up",
        "-n beyond link set eth1 up",
        "-n beyond link set lo up",
        f"-n beyond address add {BEYOND}/32 dev lo",
        f"-n beyond address add {BEHIND}/32 dev lo",
        f"route add {BEHIND}/32 via {BESIDE}",
        "route replace default via 192.0.2.2",
    )
    (before,) = json.loads(subprocess.check_output(["ip", "-j", "route", "show", "default"]))
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True)
    serve = "import socket; server = socket.create_server(('', 80)); print('ready', flush=True); input()"
    line = ["ip", "netns", "exec", "beyond", sys.executable, "-c", serve]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        for address in (BEYOND, BEHIND, BESIDE):
            socket.create_connection((address, 80), timeout=60).close()
        yield
        server.kill()
    back = f"route add default via {before['gateway']} dev {before['dev']}"
    for command in ("link del up0", "link del side0", "netns del beyond", back):
        subprocess.run(["ip", *command.split()], check=True)


@pytest.mark.parametrize("may_go_out", [True, False])
def test_a_plain_users_machine_serves_and_a_hostile_guest_reaches_nothing_of_the_host(
    plain_user: Squib, artifacts: Artifacts, logs: Path, way_out: str, beyond: None, may_go_out: bool
) -> None:
    words = ("--publish", "8101:80", "--publish", f"{HOST}:8102:80", *(["--outbound"] if may_go_out else []))
    done = plain_user.run("run", str(artifacts["hostile"]), "--name", "hostile", *RUN, *words, timeout=400)
    assert done.returncode == 0, done.stderr
    machine = json.loads(done.stdout)
    try:
        assert set(machine["urls"]) == {"http://127.0.0.1:8101", f"http://{HOST}:8102"}
        process = Path("/proc", str(machine["pid"]))
        status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines())
        assert (status["Name"], status["CapEff"], status["CapBnd"]) == ("firecracker", f"{0:016x}", f"{0:016x}")
        assert (process / "ns/net").readlink() != Path("/proc/self/ns/net").readlink()
        ways = [int(pid) for pid in (process / "task" / process.name / "children").read_text().split()]
        assert sorted(plain_user.processes()) == sorted([int(process.name), *ways]), "no squib stays beside it"
        rss = [line for line in Path(f"/proc/{ways[0]}/status").read_text().splitlines() if line.startswith("VmRSS")]
        (logs / f"user-network-{way_out}.txt").write_text(f"{way_out} {rss}\n")
        hostile(may_go_out)
    finally:
        (logs / f"user-network-{way_out}-{may_go_out}.console").write_text(plain_user.run("logs", "hostile").stdout)
        plain_user.run("rm", "--force", "hostile")
    until(lambda: not plain_user.processes())


def hostile(may_go_out: bool) -> None:
    """What the guest tries: the host by each of its names, on ports where it listens; and lies, in bare frames."""
    names = ("10.83.0.1", "10.83.255.2", "10.83.255.3", "10.83.255.100", HOST)
    with listening(("0.0.0.0", 7001), ("127.0.0.1", 7002)) as servers:
        targets = [(name, port) for name in names for port in (7001, 7002, 8101, 8102)]
        answered = told(1, TRY, SECONDS=SILENCE_S, TARGETS=[*targets, ("169.254.169.254", 80), ("127.0.0.1", 80)])
        assert "127.0.0.1:80" in answered, "its own"
        told(1, LIE, SECONDS=1, HOST="10.83.0.1", OWN="10.83.0.2")
        for server in servers:
            with pytest.raises(BlockingIOError):
                server.accept()
    patience = PATIENCE_S if may_go_out else SILENCE_S
    assert told(1, TRY, SECONDS=patience, TARGETS=[(BEYOND, 80)]) == ([f"{BEYOND}:80"] if may_go_out else [])
    assert told(1, TRY, SECONDS=SILENCE_S, TARGETS=[(BESIDE, 80), (BEHIND, 80)]) == [], (
        "the same server, by a device beside the uplink"
    )


def test_a_plain_users_clock_lives_a_whole_life(plain_user: Squib, artifacts: Artifacts) -> None:
    machine = json.loads(plain_user.ok("run", str(artifacts["tuned"]), *RUN, "--publish", "8103:80", timeout=400))
    assert ask("http://127.0.0.1:8103").startswith('{ "time": "20')
    plain_user.ok("restart", "clock", timeout=400)
    assert ask("http://127.0.0.1:8103").startswith('{ "time": "20')
    plain_user.ok("stop", "clock", "--timeout", "60")
    (ended,) = json.loads(plain_user.ok("ps", "--json"))
    assert (ended["state"], ended["ended_by"]) == ("exited", "stop")
    until(lambda: not plain_user.processes())
    plain_user.ok("restart", "clock", timeout=400)
    (machine,) = json.loads(plain_user.ok("ps", "--json"))
    assert len(plain_user.processes()) == 2
    os.kill(machine["pid"], 9)
    until(lambda: not plain_user.processes())
    (ended,) = json.loads(plain_user.ok("ps", "--json"))
    assert (ended["state"], ended["ended_by"]) == ("failed", "vmm")
    plain_user.ok("rm", "clock")
