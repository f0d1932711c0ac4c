"""Artifacts for runs are cached by content, kept while they are used, and go after a week."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from squib.app import building
from squib.app.building import Building
from squib.build.kernels import Kernel
from squib.build.opening import open_artifact
from squib.errors import ApplianceError
from squib.host.files import write_atomic
from squib.model.cached import BOUNDS, CachedKind
from squib.model.image import Artifact, FileRecord, KernelRecord
from squib.model.progress import Progress, silent


class StandIn:
    """A kernel source whose kernel is a few bytes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def obtain(self, progress: Progress) -> Kernel:
        progress("nothing to do", None)
        write_atomic(self._path, b"kernel")  # as every source: whole, whatever became of the one that was there
        record = FileRecord("vmlinux", 6, hashlib.sha256(b"kernel").hexdigest())
        return Kernel(self._path, record, KernelRecord("6.1", "a stand-in", 64), (), ())


@pytest.fixture
def house(tmp_path: Path) -> Building:
    return Building(StandIn(tmp_path / "vmlinux"), tmp_path / "cache")


def test_the_same_appliance_is_one_folder(house: Building, tmp_path: Path) -> None:
    first = house.artifact("clock", tmp_path, silent)
    again = house.artifact("clock", tmp_path, silent)
    assert first.folder == again.folder
    assert [folder.name for folder in house.cache.iterdir()] == [first.folder.name]


def test_what_nobody_used_for_a_week_goes(house: Building, tmp_path: Path) -> None:
    old, new = house.cache / "old-1", house.cache / "new-1"
    for folder in (old, new):
        folder.mkdir(parents=True)
    os.utime(old, (0, time.time() - BOUNDS[CachedKind.ARTIFACT][0] - 60))
    used = house.artifact("clock", tmp_path, silent)
    os.utime(used.folder, (0, 0))
    house.artifact("clock", tmp_path, silent)
    assert sorted(folder.name for folder in house.cache.iterdir()) == sorted(["new-1", used.folder.name])


def test_what_a_machine_was_started_from_stays(house: Building, tmp_path: Path) -> None:
    """However old it is: `squib restart` needs it."""
    kept, old = house.cache / "kept-1", house.cache / "old-1"
    for folder in (kept, old):
        folder.mkdir(parents=True)
        os.utime(folder, (0, 0))
    replace(house, in_use=lambda: frozenset({kept.resolve()})).artifact("clock", tmp_path, silent)
    assert kept.is_dir()
    assert not old.exists()


def test_a_named_artifact_is_compared_with_its_digests(house: Building, tmp_path: Path) -> None:
    made = house.artifact("clock", tmp_path, silent)
    data = bytearray(made.rootfs.read_bytes())
    data[5000] ^= 1
    made.rootfs.write_bytes(data)
    with pytest.raises(ApplianceError, match=r"rootfs\.ext4 is not the file that manifest\.json tells of"):
        house.artifact(str(made.folder), tmp_path, silent)


@pytest.mark.parametrize("name", ["manifest.json", "rootfs.ext4", "initrd.img", "vmlinux"])
def test_a_damaged_cached_artifact_is_made_again(house: Building, tmp_path: Path, name: str) -> None:
    made = house.artifact("clock", tmp_path, silent)
    before = (made.folder / name).read_bytes()
    (made.folder / name).write_bytes(before[:3])
    again = house.artifact("clock", tmp_path, silent)
    assert again == made
    assert (made.folder / name).read_bytes() == before
    (made.folder / name).unlink()
    assert house.artifact("clock", tmp_path, silent) == made


def test_two_at_the_same_moment_have_the_same(house: Building, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither takes what the other one has just put there for a damaged one."""

    def slow(folder: Path, whole: Callable[[Path], Artifact | None] = building._whole) -> Artifact | None:
        found = whole(folder)
        time.sleep(0.2)  # in which another one may put it there
        return found

    monkeypatch.setattr(building, "_whole", slow)
    with ThreadPoolExecutor() as pool:
        made = list(pool.map(lambda _: house.artifact("clock", tmp_path, silent), range(4)))
    assert len({artifact.folder for artifact in made}) == 1
    assert open_artifact(made[0].folder) == made[0]
