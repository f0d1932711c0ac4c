"""Doctor's looks on this machine, and its rule: whatever a look meets, it becomes a row."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import threading
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from squib.app import doctor
from squib.build.kernel_package import PackageKernel
from squib.errors import HostError, PermissionDeniedError, SquibError, StorageError
from squib.host import survey
from squib.model.findings import Level, Row
from squib.store import SCHEMA_VERSION, Store
from squib.store.glance import glance
from squib.wire import sbom
from support import PROJECT

NAMES = ["system", "python", "python packages", "qemu-system-x86_64", "mke2fs", "debugfs", "guest kernel", "tuned kernel", "apt-get", "dpkg-deb",
         "kvm", "cache", "state", "machines", "memory", "tun", "user namespaces", "nft", "pasta", "firecracker", *([] if os.geteuid() else ["jailer"]),
         "kernel build", "skopeo", "sbom"]  # fmt: skip


@pytest.fixture(autouse=True)
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    real = PackageKernel.offered

    def offered(self: PackageKernel) -> str:  # asking the real apt is half a second
        return "linux-image-made-up 1" if shutil.which("apt-get") else real(self)

    monkeypatch.setattr(PackageKernel, "offered", offered)
    return tmp_path


def rows() -> dict[str, Row]:
    return {row.name: row for row in doctor.examine()}


def test_every_row_is_there_and_nothing_is_left_behind(homes: Path) -> None:
    found = rows()
    assert list(found) == NAMES
    assert list(homes.iterdir()) == []
    assert found["python"].level is Level.OK
    assert found["python packages"].level is Level.OK
    assert found["machines"].found == "none was started yet"
    assert "not made yet" in found["cache"].found


def test_the_packages_are_those_of_the_project() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert sorted(survey.PACKAGES) == sorted(line.partition(">")[0] for line in project["dependencies"])


def test_a_package_that_is_not_there_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lz4", None)
    row = rows()["python packages"]
    assert (row.level, row.found) == (Level.MISSING, "not to be imported: lz4")
    assert row.remedy.endswith("-m pip install lz4")


def test_what_writes_bills_of_materials_is_what_the_extra_names() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    (requirement,) = project["optional-dependencies"]["sbom"]
    assert rows()["sbom"].level is Level.OK
    assert sbom.install_command() == f"{sys.executable} -m pip install '{requirement}'"


@pytest.mark.parametrize("error", [ValueError("strange"), HostError("no", hint="do this")])
@pytest.mark.parametrize(
    "looks", [("python", "device", "memory", "permissions"), ("system", "program", "namespaces", "folder")]
)
def test_no_look_ends_the_report(looks: tuple[str, ...], error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    for look in looks:
        monkeypatch.setattr(survey, look, fail)
    found = rows()
    assert list(found) == NAMES
    failed = [row for row in found.values() if row.found.startswith("could not be looked at: ")]
    assert len(failed) >= len(looks)
    assert failed == [row for row in found.values() if row.unseen]
    assert {row.remedy for row in failed} == {getattr(error, "hint", "")}


def test_a_look_that_hangs_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(doctor, "_LOOK_S", 0.05)
    monkeypatch.setattr(survey, "folder", lambda *_: release.wait(60))
    row = rows()["cache"]
    release.set()
    assert (row.level, row.found) == (Level.MISSING, "could not be looked at: no answer within 0.05 s")


def test_without_any_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("squib.host.command._ADMIN_FOLDERS", ())
    found = rows()
    for name in ("qemu-system-x86_64", "mke2fs", "debugfs", "apt-get", "dpkg-deb", "guest kernel"):
        assert found[name].level is Level.MISSING, name
        assert found[name].remedy
        assert "apt-get install" not in found[name].remedy
    assert found["system"].level is Level.OK


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_programs_that_do_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    script(folder / "qemu-system-x86_64", "echo cannot open shared object >&2; exit 127")
    (folder / "mke2fs").write_bytes(b"\x7fELF not a program")
    (folder / "mke2fs").chmod(0o755)
    found = rows()
    assert found["qemu-system-x86_64"].level is Level.MISSING
    assert "cannot open shared object" in found["qemu-system-x86_64"].found
    assert found["mke2fs"].level is Level.MISSING
    assert "does not run" in found["mke2fs"].found


def test_a_qemu_without_its_sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    script(
        folder / "qemu-system-x86_64",
        'case "$*" in --version) echo "QEMU emulator version 9.9.9 (x)";; *) echo "sandbox support is not enabled in this QEMU" >&2; exit 1;; esac',
    )
    row = rows()["qemu-system-x86_64"]
    assert row.level is Level.MISSING
    assert row.found.startswith("9.9.9 (")
    assert "without its sandbox" in row.found


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 4_000_000)
    assert (survey.user().name, survey.user().root) == ("4000000", False)


def test_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(variable)

    def nobody(_: object = None) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    found = rows()
    assert list(found) == NAMES
    assert found["cache"].found == "could not be looked at: this user has no home folder"
    assert "XDG_CACHE_HOME" in found["cache"].remedy


def test_devices(tmp_path: Path) -> None:
    assert survey.device(Path("/dev/null"), module="x").problem == ""
    assert survey.device(Path("/dev/null"), module="x").who == "root:root 0666"
    gone = survey.device(tmp_path / "gone", module="x")
    assert (gone.who, gone.hint) == ("", "sudo modprobe x")
    assert survey.device(tmp_path, module="x").problem == f"{tmp_path} does not open: Is a directory"


@pytest.mark.parametrize(
    ("limit", "used", "available"),
    [("max", "5", None), (str(300 << 20), str(100 << 20), 200), (str(1 << 20), str(2 << 20), 0), ("", "", None)],
)
def test_memory_of_a_container(limit: str, used: str, available: int | None, tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text(limit)
    (tmp_path / "memory.current").write_text(used)
    found = survey.memory(tmp_path)
    if available is None:
        assert found.total_mib == survey.memory(tmp_path / "none").total_mib
    else:
        assert (found.available_mib, found.total_mib) == (available, int(limit) >> 20)


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    row = rows()["cache"]
    assert row.level is Level.MISSING
    assert f"{tmp_path / 'cache'} is no folder" in row.found


BREAKS: list[tuple[Callable[[Path], object], str]] = [
    (lambda path: path.write_bytes(b"no database, " * 100), "damaged"),
    (lambda path: sqlite3.connect(path).execute("PRAGMA user_version = 99").connection.close(), "newer squib"),
]


@pytest.mark.parametrize(("harm", "said"), BREAKS, ids=["damaged", "newer"])
def test_a_bad_record_is_told_and_not_touched(harm: Callable[[Path], object], said: str, homes: Path) -> None:
    Store().close()
    path = homes / "state/squib/state.db"
    harm(path)
    before = path.read_bytes()
    row = rows()["machines"]
    assert row.level is Level.MISSING
    assert said in row.found
    assert row.remedy
    assert path.read_bytes() == before


def test_a_glance_changes_nothing(homes: Path) -> None:
    assert glance(busy_s=0).machines is None
    assert list(homes.iterdir()) == []
    Store().close()
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (homes / "state/squib").iterdir()}
    assert glance(busy_s=0, check=True).machines == ()
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (homes / "state/squib").iterdir()} == before


def test_a_glance_at_a_locked_record_gives_up(homes: Path) -> None:
    with Store() as store:
        connection = sqlite3.connect(homes / "state/squib/state.db", isolation_level=None)
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageError, match="locked"):
            glance(store.folder, busy_s=0.01)
        connection.close()


def test_a_glance_at_an_old_record(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    assert glance(tmp_path, busy_s=0).machines in {(), None}
    connection.execute("CREATE TABLE machines (name TEXT, state TEXT, created_ms INTEGER)")
    connection.execute("INSERT INTO machines VALUES ('b', 'running', 2), ('a', 'exited', 1)")
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    assert SCHEMA_VERSION >= 1
    assert glance(tmp_path, busy_s=0).machines == (("a", "exited"), ("b", "running"))


def test_a_glance_through_a_folder_that_may_not_be_searched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(self: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(PermissionDeniedError):
        glance(tmp_path, busy_s=0)
    assert issubclass(PermissionDeniedError, SquibError)
