"""`squib vm --jailer`, as far as there is no KVM: what is refused, what is told, and that nothing is left of a jail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from squib.host.process import working_in
from squib.vmm.firecracker import binaries
from support import firecracker

pytestmark = [pytest.mark.root, pytest.mark.tool, pytest.mark.timeout(120)]

UID = 1_900_000_000 + os.getpid()
"""A user of this run's own: another run of these tests would be taken for what is left of this one."""
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Bench:
    """A folder with a kernel and a drive, and the words for a jail in it."""

    folder: Path
    base: Path
    jailer: Path

    def line(self, *more: str, jailer: str | None = None) -> list[str]:
        words = (
            "--firecracker-binary",
            str(firecracker()),
            "--kernel",
            "vmlinux",
            "--root-drive",
            "root.ext4:ro",
            "--stdin",
            "never",
        )
        jail = ("--jailer", jailer or str(self.jailer), "--chroot-base-dir", str(self.base))
        return [sys.executable, "-m", "squib", "vm", *words, *jail, *more]

    def run(self, *more: str, jailer: str | None = None, before: tuple[str, ...] = ()) -> tuple[int, str]:
        line = [*before, *self.line(*more, jailer=jailer)]
        done = subprocess.run(line, cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stderr

    def empty(self) -> bool:
        return not self.base.exists() or not list(self.base.iterdir())


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    jailer = binaries.find_jailer(firecracker())
    assert jailer is not None
    # No kernel that runs, but one that Firecracker looks at: it refuses it, or its guest does nothing.
    (tmp_path / "vmlinux").write_bytes(Path("/bin/true").read_bytes())
    (tmp_path / "root.ext4").write_bytes(bytes(4096))
    bench = Bench(tmp_path, tmp_path / "jails", jailer)
    yield bench
    for root in bench.base.glob("*/*/root"):
        for identity in working_in(root):
            os.kill(identity.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("more", "status", "said"),
    [
        ((), 64, "--jailer goes with --uid"),
        (("--uid", "0"), 64, "--uid"),
        (("--uid", "4294967295"), 64, "--uid"),
        (("--uid", str(UID), "--socket-path", "x.sock"), 64, "--socket-path is the jail's own"),
        (("--uid", str(UID), "--node", "4711"), 64, "0 to 1023"),
        (("--uid", str(UID), "--node", "711"), None, "NUMA node 711|no cgroup v2"),
        (("--uid", str(UID), "--id", "a/b"), 64, "cannot be an id"),
        (("--uid", str(UID), "--tap-device", "squibnone"), 66, "there is no tap device squibnone"),
    ],
)
def test_what_is_refused(bench: Bench, more: tuple[str, ...], status: int | None, said: str) -> None:
    code, err = bench.run(*more)
    assert code == status or (status is None and code in {64, 69}), err
    assert any(one in err for one in said.split("|")), err
    assert bench.empty()


def test_a_jailer_that_is_not_there(bench: Bench) -> None:
    code, err = bench.run("--uid", str(UID), jailer="./none")
    assert (code, "jailer binary ./none" in err) == (66, True), err


def test_only_root_may(bench: Bench) -> None:
    code, err = bench.run("--uid", str(UID), before=("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"))
    assert (code, "only root may start the jailer" in err) == (77, True), err
    assert bench.empty()


def test_a_jail_that_was_left_over(bench: Bench) -> None:
    (bench.base / "firecracker/one/root").mkdir(parents=True)
    code, err = bench.run("--uid", str(UID), "--id", "one")
    assert (code, "there is a jail" in err) == (75, True), err
    assert (bench.base / "firecracker/one/root").is_dir(), "it may be somebody's"


def test_a_kernel_that_is_none_leaves_nothing(bench: Bench) -> None:
    (bench.folder / "vmlinux").write_bytes(b"\x7fELF\x02\x01".ljust(4096, b"\0"))
    code, err = bench.run("--uid", str(UID))
    assert code in {65, 69}, err
    assert bench.empty()


def test_a_relative_folder_for_jails(bench: Bench) -> None:
    """What becomes of the guest here is another matter; the jailer found its folder."""
    (bench.folder / "vmlinux").write_bytes(b"\x7fELF\x02\x01".ljust(4096, b"\0"))
    relative = Bench(bench.folder, Path("jails"), bench.jailer)
    code, err = relative.run("--uid", str(UID), "--daemonize")
    assert (code in {65, 69}, "its jail is" in err) == (True, True), err
    assert bench.empty()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_squib_is_ended_at_whatever_moment(bench: Bench, number: signal.Signals) -> None:
    """From the jail's first file on, a step further each time."""
    for moment in ("root", "root/vmlinux", "root/firecracker", "root/api.sock"):
        process = subprocess.Popen(
            bench.line("--uid", str(UID)), cwd=bench.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        deadline = time.monotonic() + PATIENCE_S
        while not list(bench.base.glob(f"firecracker/*/{moment}")) and process.poll() is None:
            assert time.monotonic() < deadline
        process.send_signal(number)
        process.communicate(timeout=PATIENCE_S)  # whoever has its output has ended as well
        while not bench.empty():
            assert time.monotonic() < deadline, moment
            time.sleep(0.01)
        left = subprocess.run(["ps", "-o", "stat=,args=", "-u", str(UID)], capture_output=True, text=True, check=False).stdout
        assert all(line.startswith("Z") for line in left.splitlines()), (moment, left)
