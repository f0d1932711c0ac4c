"""`squib prune`, and the cache that stays small by itself: nothing that is needed goes, and what goes is told rightly."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from small_artifact import NoKernel, write
from squib.app.building import Building
from squib.app.pruning import Cleaning
from squib.build import kernel_cache
from squib.build.cache import Cache
from squib.build.opening import open_artifact
from squib.formats.linux_image import KernelImage
from squib.host.files import cache_home, staging
from squib.model.cached import BOUNDS, CachedKind
from squib.model.machine import Accel
from squib.model.progress import silent
from squib.store import Reservation, Store
from squib.vmm.firecracker import binaries
from squib.wiring import house


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with one of each, and a state of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    home = cache_home()
    with staging(home):
        pass
    (home / "artifacts").mkdir()
    for key, content in (("package", b"p"), ("file-ab", b"f"), ("tuned-ab", b"t")):
        kernel_cache.store(key, KernelImage(content * 5000, "6", 1), (), source="", inputs=())
    (home / "kernels/tuned-ab.config").write_text("CONFIG_X=y\n")
    (home / "kernels/sha256-of-an-older-package").write_bytes(b"o" * 5000)
    os.utime(home / "kernels/sha256-of-an-older-package", (0, 0))
    write(home / "artifacts/shop-1")
    Cache(home / "bytecode").put("x", ("y",))
    for version in (binaries.VERSION, "0.1"):
        (home / "firecracker" / version).mkdir(parents=True)
        (home / "firecracker" / version / "firecracker").write_bytes(b"f" * 5000)
    (home / "kvm-trials.json").write_text("{}")
    return home


def there(cache: Path) -> set[str]:
    paths = (path for path in cache.rglob("*") if path.is_file())
    return {str(path.relative_to(cache)).split("/sha256-")[0] for path in paths}


def contents(cache: Path) -> set[bytes]:
    return {path.read_bytes()[:1] for path in (cache / "kernels").glob("sha256-*")}


def test_what_can_be_made_again_at_once_goes(cache: Path) -> None:
    pruning = house().prune(everything=False, dry_run=False)
    assert {item.kind for item in pruning.removed} == {CachedKind.ARTIFACT, CachedKind.NAMED_KERNEL, CachedKind.LEFTOVER}
    assert contents(cache) == {b"p", b"t"}
    assert list((cache / "artifacts").iterdir()) == []
    assert (cache / "firecracker" / binaries.VERSION).is_dir()
    assert not (cache / "firecracker/0.1").exists()
    assert (cache / "kernels/tuned-ab.config").exists()
    assert list((cache / "bytecode").iterdir())
    assert kernel_cache.load("package") is not None
    assert kernel_cache.load("tuned-ab") is not None


def test_with_all_only_tuned_kernels_are_left(cache: Path) -> None:
    house().prune(everything=True, dry_run=False)
    assert contents(cache) == {b"t"}
    assert there(cache) == {"kernels", "kernels/tuned-ab.json", "kernels/tuned-ab.config"}
    assert kernel_cache.load("tuned-ab") is not None


def test_a_dry_run_tells_the_same_and_removes_nothing(cache: Path) -> None:
    before = there(cache)
    told = house().prune(everything=True, dry_run=True)
    assert there(cache) == before
    done = house().prune(everything=True, dry_run=False)
    assert [item.path for item in done.removed] == [item.path for item in told.removed]
    assert done.freed_bytes == told.freed_bytes > 0
    assert house().prune(everything=True, dry_run=False).removed == ()


def test_what_was_told_is_freed_on_the_disk(cache: Path) -> None:
    """A kernel that an artifact shares with the cache is freed with the last of both."""
    (cache / "artifacts/shop-1/vmlinux").unlink()
    package = kernel_cache.load("package")
    assert package is not None
    (cache / "artifacts/shop-1/vmlinux").hardlink_to(package.vmlinux)

    def taken() -> int:
        found = {one.st_ino: one.st_blocks for path in cache.rglob("*") if path.is_file() for one in [path.stat()]}
        return sum(found.values()) * 512

    for everything in (False, True):
        before = taken()
        pruning = house().prune(everything=everything, dry_run=False)
        assert before - taken() == pruning.freed_bytes


def test_what_a_machine_was_started_from_stays(cache: Path) -> None:
    wish = Reservation(None, "shop", (), "firecracker", Accel.KVM, "", 128, 1, artifact=(cache / "artifacts/shop-1").resolve())
    with Store() as store:
        machine = store.reserve(wish)
    pruning = house().prune(everything=True, dry_run=False)
    assert {(item.kind, item.needed_by) for item in pruning.kept} == {
        (CachedKind.ARTIFACT, "a machine"),
        (CachedKind.FIRECRACKER, "a machine"),
    }
    assert open_artifact(cache / "artifacts/shop-1").manifest.appliance.name == "shop"
    with Store() as store:
        store.remove(machine.id)
    assert house().prune(everything=True, dry_run=False).kept == ()


@pytest.mark.root
def test_what_a_squib_is_about_to_start_stays(cache: Path, tmp_path: Path) -> None:
    """From the moment at which it was looked for: the store knows of it only later."""
    foreign = write(tmp_path / "out", "another")
    for path in (foreign, *foreign.iterdir()):
        os.chown(path, 65534, 65534)
    artifact = Building(NoKernel(), cache / "artifacts").artifact(str(foreign), tmp_path, silent)
    (kept,) = house().prune(everything=True, dry_run=False).kept
    assert (kept.path, kept.needed_by) == (artifact.folder, "a squib that runs")
    assert artifact.rootfs.exists()
    folder = artifact.folder
    del artifact
    house().prune(everything=False, dry_run=False)
    assert not folder.exists()


def test_what_killed_squibs_left_goes_and_what_is_being_made_stays(cache: Path) -> None:
    left = cache / "kernels/.staging-left"
    left.mkdir()
    (left / "half").write_bytes(bytes(5000))
    os.utime(left, (0, 0))
    with staging(cache / "artifacts") as busy:
        os.utime(busy, (0, 0))
        house().prune(everything=True, dry_run=False)
        assert busy.is_dir()
    assert not left.exists()


def test_a_kernel_whose_record_is_still_to_come_stays(cache: Path) -> None:
    young = cache / "kernels/sha256-young"
    young.write_bytes(b"y")
    house().prune(everything=True, dry_run=False)
    assert young.exists()


def test_nothing_is_there_and_nothing_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    pruning = house().prune(everything=True, dry_run=False)
    assert (pruning.removed, pruning.kept, pruning.freed_bytes) == ((), (), 0)
    assert not (tmp_path / "none").exists()


def test_by_itself_it_looks_once_a_day(cache: Path) -> None:
    cleaning = Cleaning(cache, frozenset, binaries.cached())
    long_ago = time.time() - BOUNDS[CachedKind.BYTE_CODE][0] - 60
    entry = cache / "bytecode/old"
    for _ in range(2):
        entry.write_bytes(b"x")
        os.utime(entry, (long_ago, long_ago))
        cleaning.tidy()
    assert entry.exists(), "it was looked at a moment ago"
    os.utime(cache / ".pruned", (0, 0))
    cleaning.tidy()
    assert not entry.exists()
    assert (cache / "bytecode/x").exists() or list((cache / "bytecode").iterdir())
    assert contents(cache) == {b"p", b"f", b"t"}, "the older package's kernel is a leftover"
    assert (cache / "artifacts/shop-1").exists()


def test_as_json(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from squib.cli.prune import prune

    prune.main(["--dry-run", "--json"], standalone_mode=False)
    told = json.loads(capsys.readouterr().out)
    assert told["dry_run"] is True
    assert told["freed_bytes"] > 0
    assert {item["kind"] for item in told["removed"]} == {"artifact", "named kernel", "leftover"}
    assert all(Path(item["path"]).exists() for item in told["removed"])
    prune.main([], standalone_mode=False)
    assert "were freed." in capsys.readouterr().out
