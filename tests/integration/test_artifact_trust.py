"""What was hashed is what boots: by descriptor, from a folder that nobody else could change, or from a copy of one's own."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from small_artifact import NAMES, NoKernel, write
from squib.app.building import Building
from squib.build import opening
from squib.build.opening import open_artifact
from squib.errors import ApplianceError, MissingError, PermissionDeniedError
from squib.host import publication
from squib.host.held import HeldFile
from squib.model.appliance import Appliance
from squib.model.image import MANIFEST, Artifact, FileRecord, KernelRecord, Manifest
from squib.model.machine import MachineConfig
from squib.model.progress import silent
from squib.model.run import RunSpec
from squib.vmm.handover import by_descriptor, held_by_us
from squib.vmm.plan import machine_config
from squib.wire import guest_spec

ANOTHER = 65534


def config_of(artifact: Artifact) -> MachineConfig:
    return machine_config(artifact, RunSpec(), "shop")


def seen_by_a_child(config: MachineConfig) -> list[str]:
    """What a process that inherits the descriptors reads at the names that it is told."""
    named, inherited = by_descriptor(config)
    assert named.initrd is not None
    paths = [str(path) for path in (named.initrd, named.drives[0].host_path, named.kernel)]
    script = "import json, pathlib, sys; print(json.dumps([pathlib.Path(path).read_text() for path in sys.argv[1:]]))"
    said = subprocess.run((sys.executable, "-c", script, *paths), pass_fds=inherited, capture_output=True, check=True).stdout
    return list(json.loads(said))


@pytest.mark.parametrize("how", ["link", "other file", "gone", "folder swapped"])
def test_what_is_done_to_the_names_afterwards_reaches_no_vmm(tmp_path: Path, how: str) -> None:
    folder = write(tmp_path / "out")
    artifact = open_artifact(folder)
    for name in NAMES:
        match how:
            case "link":
                (folder / name).unlink()
                (folder / name).symlink_to("/etc/passwd")
            case "other file":
                (tmp_path / name).write_text("evil")
                (tmp_path / name).replace(folder / name)
            case "gone":
                (folder / name).unlink()
    if how == "folder swapped":
        folder.rename(tmp_path / "away")
        write(folder, "second")
    config = config_of(artifact)
    assert seen_by_a_child(config) == [f"first {name}" for name in NAMES]
    assert held_by_us(config, config.kernel).read_text() == "first vmlinux"
    assert config.kernel == folder / "vmlinux"  # for people it keeps its name


def test_a_machine_that_holds_nothing_is_named_as_it_is() -> None:
    config = replace(config_of(Artifact(Path("/out"), _known())), held=())
    assert by_descriptor(config) == (config, ())
    assert held_by_us(config, config.kernel) == config.kernel


def _known() -> Manifest:
    files = tuple(FileRecord(name, 1, "0" * 64) for name in NAMES)
    return Manifest("0", guest_spec.ABI, Appliance("shop", "a:b", Path("/out")), KernelRecord("6", "test", 1), files, ())


def test_descriptors_are_closed_with_the_artifact(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    artifact = open_artifact(write(tmp_path / "out"))
    assert len(list(Path("/proc/self/fd").iterdir())) == before + len(NAMES)
    del artifact
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("name", [*NAMES, MANIFEST])
@pytest.mark.parametrize("what", ["link", "fifo", "folder", "device", "sparse", "written by all", "gone"])
def test_what_is_no_file_of_ones_own_is_refused_at_once(tmp_path: Path, name: str, what: str) -> None:
    folder = write(tmp_path / "out")
    path = folder / name
    _spoil(path, what)
    begin = time.monotonic()
    with pytest.raises((ApplianceError, MissingError, PermissionDeniedError)) as caught:
        open_artifact(folder)
    assert name in str(caught.value)
    assert caught.value.hint
    assert time.monotonic() - begin < 20  # of 50 GB it takes minutes


def _spoil(path: Path, what: str) -> None:
    if what == "written by all":
        path.chmod(0o666)
        return
    path.unlink()
    match what:
        case "link":
            path.symlink_to("/etc/passwd")
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "device":
            path.symlink_to("/dev/zero")
        case "sparse":
            with path.open("wb") as file:
                file.truncate(50 << 30)


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o757])
def test_a_folder_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    folder = write(tmp_path / "out")
    folder.chmod(mode)
    with pytest.raises(PermissionDeniedError, match="can be changed by other users") as caught:
        open_artifact(folder)
    assert "chmod go-w" in caught.value.hint


@pytest.mark.root
def test_another_users_artifact_boots_from_a_copy(tmp_path: Path) -> None:
    """He may write into his file in place, through a descriptor that he has had all along, also once it was hashed."""
    folder = write(tmp_path / "out")
    for path in (folder, *folder.iterdir()):
        os.chown(path, ANOTHER, ANOTHER)
    house = Building(NoKernel(), tmp_path / "cache")
    artifact = house.artifact(str(folder), tmp_path, silent)
    assert artifact.folder.parent == tmp_path / "cache"
    assert all(path.stat().st_uid == os.geteuid() for path in artifact.folder.iterdir())
    (folder / "rootfs.ext4").write_text("evil")
    assert seen_by_a_child(config_of(artifact)) == [f"first {name}" for name in NAMES]
    assert open_artifact(artifact.folder) == artifact  # what `squib restart` opens
    again = house.artifact(str(folder), tmp_path, silent)
    assert again == artifact, "it is known by its manifest, and is not copied once more"
    assert not list((tmp_path / "cache").glob(".staging-*"))


@pytest.mark.root
def test_of_another_users_artifact_nothing_is_kept_that_is_not_right(tmp_path: Path) -> None:
    folder = write(tmp_path / "out")
    (folder / "rootfs.ext4").write_text("FIRST rootfs.ext4")
    for path in (folder, *folder.iterdir()):
        os.chown(path, ANOTHER, ANOTHER)
    house = Building(NoKernel(), tmp_path / "cache")
    with pytest.raises(ApplianceError, match=r"out/rootfs\.ext4 is not the file"):
        house.artifact(str(folder), tmp_path, silent)
    assert list((tmp_path / "cache").iterdir()) == []
    folder.chmod(0o777)
    with pytest.raises(PermissionDeniedError):
        house.artifact(str(folder), tmp_path, silent)


@pytest.mark.root
def test_a_strangers_file_in_a_folder_of_ones_own_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "out")
    os.chown(folder / "vmlinux", ANOTHER, ANOTHER)
    with pytest.raises(PermissionDeniedError, match="vmlinux belongs to another user"):
        open_artifact(folder)


def test_each_file_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "out")
    hashed: list[str] = []
    digest = hashlib.file_digest

    def counted(file: object, name: str) -> object:
        hashed.append(str(Path(f"/proc/self/fd/{file.fileno()}").readlink()))  # type: ignore[attr-defined]
        return digest(file, name)  # type: ignore[arg-type]

    monkeypatch.setattr(hashlib, "file_digest", counted)
    Building(NoKernel(), tmp_path / "cache").artifact(str(folder), tmp_path, silent)
    assert sorted(Path(path).name for path in hashed) == sorted(NAMES)


@pytest.mark.parametrize("moved", [(), ("rootfs.ext4",), ("initrd.img", "rootfs.ext4", "vmlinux")])
def test_a_killed_builds_files_count_from_the_moment_they_were_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: tuple[str, ...]
) -> None:
    """Also where whoever opens it may not finish what the killed one began."""
    folder = write(tmp_path / "out")
    ready = write(folder / publication.READY, "second")
    for name in moved:
        (ready / name).replace(folder / name)
    with monkeypatch.context() as patch:
        patch.setattr(publication, "finish", lambda *_, **__: None)
        assert seen_by_a_child(config_of(open_artifact(folder))) == [f"second {name}" for name in NAMES]
    open_artifact(folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*NAMES, MANIFEST])


def test_an_artifact_that_is_built_anew_meanwhile_is_opened_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "out")
    compare = opening._compare

    def build_first(*arguments: object) -> None:
        monkeypatch.setattr(opening, "_compare", compare)
        write(folder, "second")
        compare(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(opening, "_compare", build_first)
    artifact = open_artifact(folder)
    assert artifact.digest == hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    assert seen_by_a_child(config_of(artifact)) == [f"second {name}" for name in NAMES]


def test_a_held_file_outlives_the_one_it_was_made_of(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("text")
    with (tmp_path / "x").open("rb", buffering=0) as file:
        held = HeldFile(os.dup(file.fileno()))
    assert Path(f"/proc/self/fd/{held.fileno()}").read_text() == "text"
