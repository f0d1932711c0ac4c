"""A drop boots where nothing of squib is: a root with busybox, two devices and the folder, and a user with no rights but to them."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lab import layout
from lab.conftest import Artifacts, ask

pytestmark = pytest.mark.lab

DEVICES = {"kvm": (10, 232, 0o660), "net/tun": (10, 200, 0o666), "null": (1, 3, 0o666), "urandom": (1, 9, 0o666)}

BECOME = f"""
import os, sys
os.chroot(sys.argv[1])
os.chdir("/")
os.setgroups([{layout.KVM_GROUP}])
os.setgid({layout.USER_ID})
os.setuid({layout.USER_ID})
os.execve(sys.argv[2], sys.argv[2:], {{"PATH": "/bin"}})
"""


@pytest.fixture
def elsewhere(artifacts: Artifacts) -> Path:
    """The root of another host."""
    root = Path(layout.SCRATCH, "elsewhere")
    for folder in ("bin", "dev/net", "home"):
        (root / folder).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    for name in ("sh", "dirname"):
        (root / "bin" / name).symlink_to("busybox")
    for name, (major, minor, mode) in DEVICES.items():
        os.mknod(root / "dev" / name, stat.S_IFCHR, os.makedev(major, minor))
        (root / "dev" / name).chmod(mode)
    os.chown(root / "dev/kvm", 0, layout.KVM_GROUP)
    shutil.copytree(artifacts["drop"], root / "home/drop")
    return root


def test_run_sh_boots_it(elsewhere: Path, tap0: str, logs: Path) -> None:
    with (logs / "drop.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", BECOME, str(elsewhere), "/home/drop/run.sh"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            assert ask(process).startswith('{ "time": "20')
            assert Path(f"/proc/{process.pid}/status").read_text().count(f"Uid:\t{layout.USER_ID}\t{layout.USER_ID}") == 1
        finally:
            process.kill()
            process.wait()
    assert b"squib.ready" in (logs / "drop.log").read_bytes()
