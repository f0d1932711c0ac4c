"""Guests that write more than the host has room for, to a disk or to the console: Firecracker lives on, and the host does."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab.conftest import Artifacts
from squib.errors import GuestError
from squib.model.machine import Drive
from squib.vmm import run_dir
from squib.vmm.firecracker.launch import Firecracker
from support import firecracker
from tiny_guest import Behaviour, config

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

MIB = 1 << 20
BOUND = 64 << 10


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file-system with room for 2 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_guest_that_fills_the_hosts_disk(artifacts: Artifacts, small: Path, tmp_path: Path) -> None:
    disk = small / "disk"
    with disk.open("wb") as file:
        file.truncate(8 * MIB)  # and nothing is in it yet
    machine = config(tmp_path, Behaviour.SERVES, kernel=artifacts["tuned"] / "vmlinux")
    root = Drive("rootfs", artifacts["filler"] / "rootfs.ext4", is_root=True)
    machine = replace(machine, initrd=None, interfaces=(), drives=(root, Drive("data", disk, read_only=False)))
    folder = tmp_path / "machines/one"
    with Firecracker(firecracker()).launch(machine, folder) as vm:
        try:
            with pytest.raises(GuestError, match="Attempted to kill init") as caught:
                vm.wait_ready(240)
        finally:
            end = vm.kill()
    assert "what was written did not arrive" in caught.value.detail
    assert "I/O error" in vm.console.read_text() + (folder / "firecracker.log").read_text() + caught.value.detail, end


def test_a_guest_that_writes_its_console_for_ever(
    artifacts: Artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bounds are smaller here than they are: a serial port of two emulations would fill the real ones in an hour."""
    monkeypatch.setattr(run_dir, "CONSOLE_MAX_BYTES", BOUND)
    monkeypatch.setattr(run_dir, "_PIECE_BYTES", BOUND // 4)
    machine = config(tmp_path, Behaviour.SERVES, kernel=artifacts["hostile"] / "vmlinux")
    root = Drive("rootfs", artifacts["hostile"] / "rootfs.ext4", is_root=True)
    machine = replace(machine, initrd=None, interfaces=(), drives=(root,), kernel_args=("babble",))
    folder = tmp_path / "machines/one"
    with Firecracker(firecracker()).launch(machine, folder) as vm:
        try:
            vm.wait_ready(240)
            grows_to(vm.console, BOUND)
            assert vm.poll() is None, "it goes on, and its words are lost"
            assert vm.console.stat().st_size < BOUND, "whoever looks makes room"
            grows_to(vm.console, BOUND)
            assert all(file.stat().st_size <= BOUND for file in folder.iterdir())
        finally:
            end = vm.stop(60)
    assert "exit status 0" in end.reason, "the guest heard that it should stop, and reset itself"


def grows_to(console: Path, size: int) -> None:
    deadline = time.monotonic() + 120
    while (now := console.stat().st_size) < size:
        assert time.monotonic() < deadline, now
        time.sleep(0.05)
    assert now == size
