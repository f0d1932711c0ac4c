"""Folders that may not be looked into, and names that no file-system has: refusals of the operating system, told as such."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from squib.app.building import Building
from squib.app.running import Running
from squib.app.starter import write_starter
from squib.build.kernel_file import FileKernel
from squib.errors import HostError, PermissionDeniedError
from squib.host.appliances import find_appliance
from squib.model.machine import Accel
from squib.model.run import RunSpec
from squib.store import Reservation, Store
from squib.wire import run_spec

LONG = "a" * 300


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose files cannot be asked for; root may, so it is played."""
    folder, ask, ask_beneath = tmp_path / "closed", Path.stat, os.stat
    folder.mkdir()

    def refuse(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if folder in path.parents:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return ask(path, follow_symlinks=follow_symlinks)

    def refuse_beneath(path: str, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
        if dir_fd is not None and Path(f"/proc/self/fd/{dir_fd}").readlink() == folder:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return ask_beneath(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", refuse)
    monkeypatch.setattr(os, "stat", refuse_beneath)
    return folder


def unused(*_: object) -> object:
    pytest.fail("it goes no farther")


def artifact(selector: str, folder: Path) -> object:
    return Building(unused, folder / "cache").artifact(selector, folder, lambda *_: None)  # type: ignore[arg-type]


LOOKS: list[Callable[[str, Path], object]] = [find_appliance, artifact]


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("selector", ["closed/app", "closed"])
def test_a_closed_folder(look: Callable[[str, Path], object], selector: str, closed: Path) -> None:
    with pytest.raises(PermissionDeniedError, match=f"may not use {closed}/"):
        look(selector, closed.parent)


def test_a_closed_working_folder(closed: Path) -> None:
    with pytest.raises(PermissionDeniedError, match=r"may not use .*/appliance\.toml"):
        find_appliance(None, closed)


@pytest.mark.parametrize("look", LOOKS)
def test_a_name_that_is_too_long(look: Callable[[str, Path], object], tmp_path: Path) -> None:
    with pytest.raises(HostError, match=os.strerror(errno.ENAMETOOLONG)):
        look(LONG, tmp_path)


def test_a_restart_from_a_closed_folder(closed: Path) -> None:
    wish = Reservation(
        name=None, base_name="clock", publish=(), vmm="qemu", accel=Accel.TCG, image_digest="", mem_size_mib=64, vcpu_count=1,
        run_spec=run_spec.encode(RunSpec()), artifact=closed / "artifact",
    )  # fmt: skip
    with Store(closed.parent / "state") as store:
        machine = store.reserve(wish)
        store.exited(machine.id, 0, "stopped")
        with pytest.raises(PermissionDeniedError, match="may not use"):
            Running(store, unused, unused, unused)._as_before(store.get("clock"))  # type: ignore[arg-type]


def test_a_start_in_a_closed_folder(closed: Path) -> None:
    with pytest.raises(PermissionDeniedError, match="may not use"):
        write_starter(closed, "app")


def test_modules_in_a_closed_folder(closed: Path) -> None:
    with pytest.raises(PermissionDeniedError, match="may not use"):
        FileKernel(closed.parent / "kernel", closed / "modules")._modules_folder("6.1")
