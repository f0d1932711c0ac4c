"""The four files together: all or none, and an honest word where one is wrong."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from squib.build.artifact import BuildPlan, open_artifact, write_artifact
from squib.build.kernels import Kernel
from squib.errors import ApplianceError, MissingError
from squib.host.appliances import find_appliance
from squib.model.image import FileRecord, KernelRecord, rebuild_hint
from squib.model.progress import silent
from squib.model.tree import File, RootfsTree

pytestmark = pytest.mark.tool


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuildPlan:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data = b"kernel" * 1000
    (tmp_path / "kernel").write_bytes(data)
    record = FileRecord("vmlinux", len(data), hashlib.sha256(data).hexdigest())
    kernel = Kernel(tmp_path / "kernel", record, KernelRecord("6", "a test", 67), (), ())
    tree = RootfsTree.of([File("/sbin/init", b"x", 0o755)])
    return BuildPlan(find_appliance("clock", Path("/")), kernel, tree, tree, ())


def test_what_was_written_opens_again(plan: BuildPlan, tmp_path: Path) -> None:
    written = write_artifact(plan, tmp_path / "a/b", silent)
    assert open_artifact(tmp_path / "a/b") == written
    for file in written.manifest.files:
        assert hashlib.sha256((written.folder / file.name).read_bytes()).hexdigest() == file.sha256


def test_what_is_not_for_other_users_is_not_in_the_disk(plan: BuildPlan, tmp_path: Path) -> None:
    """Whatever the umask."""
    for closed, expected in ((True, 0o600), (False, 0o644)):
        write_artifact(replace(plan, closed=closed), tmp_path / "out", silent)
        modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()}
        assert modes.pop("rootfs.ext4") == expected
        assert set(modes.values()) == {0o644}


def test_a_failure_leaves_no_folder_behind(plan: BuildPlan, tmp_path: Path) -> None:
    (tmp_path / "kernel").unlink()
    with pytest.raises(MissingError):
        write_artifact(plan, tmp_path / "a/b", silent)
    assert not (tmp_path / "a").exists()


def test_a_failure_leaves_the_last_good_artifact(plan: BuildPlan, tmp_path: Path) -> None:
    good = write_artifact(plan, tmp_path / "out", silent)
    before = {path.name: path.read_bytes() for path in good.folder.iterdir()}
    (tmp_path / "kernel").unlink()
    with pytest.raises(MissingError):
        write_artifact(plan, tmp_path / "out", silent)
    assert {path.name: path.read_bytes() for path in good.folder.iterdir()} == before


def test_a_file_that_is_gone_or_cut(plan: BuildPlan, tmp_path: Path) -> None:
    good = write_artifact(plan, tmp_path / "out", silent)
    good.rootfs.write_bytes(b"short")
    with pytest.raises(ApplianceError, match=r"rootfs\.ext4") as changed:
        open_artifact(good.folder)
    good.rootfs.unlink()
    with pytest.raises(MissingError, match=r"rootfs\.ext4") as gone:
        open_artifact(good.folder)
    for caught in (changed, gone):
        assert caught.value.hint == rebuild_hint(good.folder, "clock")


# A build that kills itself before the Nth name changes in its folder; Python tells each change (sys.addaudithook).
_KILLED = """
import hashlib, os, signal, sys
from pathlib import Path
from squib.build.artifact import BuildPlan, write_artifact
from squib.build.kernels import Kernel
from squib.host.appliances import find_appliance
from squib.model.image import FileRecord, KernelRecord
from squib.model.progress import silent
from squib.model.tree import File, RootfsTree
out, kernel, content, left = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3].encode(), int(sys.argv[4])
data = kernel.read_bytes()
record = FileRecord("vmlinux", len(data), hashlib.sha256(data).hexdigest())
tree = RootfsTree.of([File("/sbin/init", content, 0o755)])
plan = BuildPlan(find_appliance("clock", Path("/")), Kernel(kernel, record, KernelRecord("6", "t", 67), (), ()), tree, tree, ())
def count(event, arguments):
    global left
    if event == "os.rename":
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
write_artifact(plan, out, silent)
"""


def test_a_build_that_is_killed_leaves_the_old_artifact_or_the_new_one(plan: BuildPlan, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_artifact(plan, out, silent)
    (out / "notes.txt").write_text("somebody's own")
    found, before = open_artifact(out), ""
    for step in range(1, 30):
        before = found.digest
        line = (sys.executable, "-c", _KILLED, str(out), str(tmp_path / "kernel"), f"build {step}", str(step))
        ended = subprocess.run(line, timeout=100, check=False).returncode
        found = open_artifact(out)
        for file in found.manifest.files:
            held = dict(found.held)[file.name]
            assert hashlib.sha256(Path(f"/proc/self/fd/{held.fileno()}").read_bytes()).hexdigest() == file.sha256
        assert (out / "notes.txt").read_text() == "somebody's own"
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
    assert step > 4, "a rename for each file, and the one that counts"
    assert found.digest != before
    assert {path.name for path in out.iterdir() if not path.name.startswith(".staging-")} == {
        *("initrd.img", "manifest.json", "rootfs.ext4", "vmlinux", "notes.txt"),
    }


@pytest.mark.root
def test_in_another_users_folder_nothing_is_made_by_way_of_names_that_he_could_swap(plan: BuildPlan, tmp_path: Path) -> None:
    """He may see the files once they are whole; until then they are made where he cannot reach."""
    out = tmp_path / "out"
    out.mkdir()
    os.chown(out, 65534, 65534)
    made: list[str] = []

    def note(step: str, share: float | None) -> None:
        made.extend(path.name for path in out.iterdir())

    written = write_artifact(plan, out, note)
    assert made == []
    assert {path.name for path in out.iterdir()} == {"initrd.img", "manifest.json", "rootfs.ext4", "vmlinux"}
    for file in written.manifest.files:
        assert hashlib.sha256((out / file.name).read_bytes()).hexdigest() == file.sha256
