"""`squib kernel` and `--kernel tuned` from the command line; the kernel itself is the one of the machine's cache."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from program import Squib, free_port
from support import tool
from tuned import COMPILE_S, tuned_kernel


@pytest.fixture
def alone(tmp_path: Path) -> Squib:
    """Squib with an empty cache."""
    return Squib((sys.executable, "-m", "squib"), tmp_path)


def test_none_is_built(alone: Squib) -> None:
    assert json.loads(alone.ok("kernel", "list", "--json")) == []
    assert "squib kernel build" in alone.run("kernel", "list").stderr
    for command in (
        ("kernel", "show"),
        ("run", "clock", "--kernel", "tuned"),
        ("build", "clock", "--kernel", "tuned"),
        ("demo", "--kernel", "tuned"),
    ):
        done = alone.run(*command)
        assert (done.returncode, done.stdout) == (66, "")
        assert "no tuned kernel is built yet" in done.stderr
        assert "squib kernel build" in done.stderr
    assert alone.run("kernel", "rm", "tuned-1").returncode == 66
    assert alone.run("kernel", "rm").returncode == 64
    assert alone.run("run", "--kernel", "tuned", "--modules", ".").returncode == 64


def test_without_a_compiler_it_says_what_to_install(alone: Squib, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    done = Squib(alone.command, alone.home, extra={"PATH": str(tmp_path / "bin")}).run("kernel", "build")
    assert done.returncode == 69
    assert "sudo apt-get install bc bison flex gcc" in done.stderr
    assert not (tmp_path / "cache/squib/kernels").exists()


@pytest.mark.vm
@pytest.mark.timeout(COMPILE_S)
def test_built_listed_booted_in_40_mib_and_removed(squib: Squib, tmp_path: Path) -> None:
    tool("qemu-system-x86_64")
    kept, kernels = tuned_kernel(), tmp_path / "cache/squib/kernels"
    for path in (kept.vmlinux, *kept.vmlinux.parent.glob("tuned-*")):  # it may have been compiled since the cache was copied
        shutil.copy2(path, kernels)
    shown = json.loads(squib.ok("kernel", "show", "--json"))
    assert shown["current"] is True
    assert shown["sha256"] == kept.file.sha256
    assert "is built already" in squib.run("kernel", "build").stderr
    assert "CONFIG_PVH=y" in squib.ok("kernel", "show", "--config").splitlines()

    squib.ok("build", "clock", "-o", "out", "-q")
    assert (tmp_path / "out/initrd.img").exists()
    squib.ok("build", "clock", "-o", "out", "-q", "--kernel", "tuned")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["manifest.json", "rootfs.ext4", "vmlinux"]
    assert squib.ok("build", "clock", "--show", "tree", "--kernel", "tuned").count("entries") == 1

    port = free_port()
    squib.ok("run", "out", "--detach", "--name", "tuned", "--memory", "40M", "--publish", f"{port}:80")
    assert json.loads(squib.ok("probe", f"http://127.0.0.1:{port}", "-n", "2", "--json"))["ok"] is True
    (machine,) = json.loads(squib.ok("inspect", "tuned", "--json"))
    assert {file["name"] for file in machine["image"]["files"]} == {"rootfs.ext4", "vmlinux"}
    assert machine["memory_mib"] == 40
    squib.ok("restart", "tuned", "--quiet")
    squib.ok("stop", "tuned")
    (machine,) = json.loads(squib.ok("ps", "--json"))
    assert (machine["exit_status"], machine["exit_reason"]) == (0, "stopped")

    squib.ok("kernel", "rm", shown["name"])
    assert shown["name"] not in squib.ok("kernel", "list")
    assert (tmp_path / "out/vmlinux").exists()
