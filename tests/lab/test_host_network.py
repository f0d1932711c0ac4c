"""`squib host setup` and a machine with a network of its own, on real Firecracker: the tap opened by who it is for, and by nobody else."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from pathlib import Path

import pytest

from lab.conftest import Artifacts

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]


def squib(*arguments: str, status: int = 0) -> str:
    done = subprocess.run(["squib", *arguments], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == status, (arguments, done.returncode, done.stdout, done.stderr)
    return done.stdout


def state() -> list[str]:
    commands = (["nft", "-s", "list", "ruleset"], ["ip", "-4", "-o", "address"], ["ip", "route"])
    told = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for command in commands]
    forwarding = sorted(Path("/proc/sys/net/ipv4/conf").glob("*/forwarding"))
    return [*told, *(f"{path} {path.read_text()}" for path in forwarding)]


def ask(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=120) as answer:
        return bytes(answer.read())


def test_set_up_run_published_stopped_and_put_back(artifacts: Artifacts, logs: Path) -> None:
    before = state()
    squib("host", "setup")
    set_up = state()
    try:
        run = (
            "run",
            str(artifacts["clock"]),
            "--vmm",
            "firecracker",
            "--detach",
            "--json",
            "--timeout",
            "300",
            "--name",
            "net",
        )
        machine = json.loads(squib(*run, "--publish", "8080:80", "--publish", "0.0.0.0:8081:80"))
        try:
            assert machine["urls"] == ["http://127.0.0.1:8080", "http://127.0.0.1:8081"]
            for url in ("http://127.0.0.1:8080", "http://127.0.0.1:8081", "http://10.0.2.15:8081", "http://10.83.0.2"):
                assert ask(url).startswith(b'{ "time": "20'), url
            taps = next(row for row in json.loads(squib("host", "check", "--json"))["checks"] if row["name"] == "taps")
            assert taps["found"] == "1 of machines"
            (logs / "host-network.nft").write_text("\n".join(state()))
            squib("host", "teardown", status=75)
        finally:
            (logs / "host-network.console").write_text(squib("logs", "net"))
            squib("stop", "net")
        assert state() == set_up, "nothing of the machine is left"
        squib("rm", "net")
    finally:
        squib("host", "teardown", "--force")
    assert state() == before
