"""The four files together: all or none, and an honest word where one is wrong."""

from __future__ import annotations

import hashlib
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
def plan(tmp_path: Path) -> BuildPlan:
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
