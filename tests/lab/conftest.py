"""Fixtures of the lab's tests. Outside of the lab none of them is collected; inside none may skip."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab import layout
from program import Squib
from support import LAB

collect_ignore_glob = [] if LAB else ["test_*.py"]

GUEST, GATEWAY, MAC = "172.17.100.2", "172.17.100.1", "AA:FC:00:00:00:01"
IP = f"ip={GUEST}::{GATEWAY}:255.255.255.0:webserver:eth0:off:{GATEWAY}::"
"""The seed's own parameter."""


def ask(process: subprocess.Popen[bytes] | None = None, seconds: float = 90) -> str:
    """What the guest answers, once it does; `process` is what must not end meanwhile."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process is None or process.poll() is None, f"Firecracker ended with status {process.returncode}"
        try:
            with urllib.request.urlopen(f"http://{GUEST}/", timeout=2) as answer:
                return str(answer.read().decode())
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the guest did not answer")


@dataclass(frozen=True, slots=True)
class Artifacts:
    """What squib built on the outer host, by name."""

    folder: Path

    def __getitem__(self, name: str) -> Path:
        return self.folder / name


@pytest.fixture(scope="session")
def artifacts() -> Artifacts:
    return Artifacts(Path(layout.ARTIFACTS))


@pytest.fixture(scope="session")
def results() -> Path:
    """The folder that is brought out."""
    return Path(layout.RESULTS)


@pytest.fixture(scope="session")
def logs() -> Path:
    """A folder that is brought out: what is put there can be read after the lab has ended."""
    return Path(layout.RESULTS, "logs")


@pytest.fixture
def squib(tmp_path: Path) -> Iterator[Squib]:
    """The program, for root, with homes of its own; whatever it left running is ended, and is a failure."""
    yield from _ended(Squib((sys.executable, "-m", "squib"), tmp_path))


@pytest.fixture
def plain_user() -> Iterator[Squib]:
    """The program for a plain user, whose only right is that of the group kvm."""
    home = Path(tempfile.mkdtemp(prefix="squib-user-"))
    os.chown(home, layout.USER_ID, layout.USER_ID)
    become = (
        f"import os, sys; os.setgroups([{layout.KVM_GROUP}]); os.setgid({layout.USER_ID}); os.setuid({layout.USER_ID}); "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    try:
        yield from _ended(Squib((sys.executable, "-m", "squib"), home, prefix=(sys.executable, "-IS", "-c", become)))
    finally:
        shutil.rmtree(home)


def _ended(squib: Squib) -> Iterator[Squib]:
    yield squib
    left = squib.processes()
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left, f"left running: {left}"


@pytest.fixture
def tap0() -> Iterator[str]:
    """The seed's tap, for a plain user, and so for root: tap0 with the gateway's address. Gone at the end, and with it what a test left on it."""
    for line in (f"tuntap add tap0 mode tap user {layout.USER_ID}", f"addr add {GATEWAY}/24 dev tap0", "link set tap0 up"):
        subprocess.run(["ip", *line.split()], check=True)
    yield "tap0"
    subprocess.run(["ip", "link", "del", "tap0"], check=True)
