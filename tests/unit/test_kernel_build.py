"""Building the tuned kernel, with made-up packages and a made-up make: what is asked, what is said, what is left behind."""

from __future__ import annotations

import os
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kernel_bytes import vmlinux
from squib.build import apt, kernel_build, kernel_cache, kernel_source, kernel_tools
from squib.build.apt import Package
from squib.build.kernel_build import FRAGMENT, BuildKey, config_path
from squib.errors import ApplianceError, HostError, SquibError, StorageError, UnavailableError
from squib.host import command
from squib.model.image import InputRecord
from squib.model.progress import silent
from support import tool

SOURCE = Package("linux-source-9.9", "9.9-1", "0" * 64, ())
KEY = BuildKey(SOURCE, (InputRecord("linux-source-9.9", "9.9-1", "0" * 64), InputRecord(FRAGMENT, "", "1" * 64)))

CONFIGURE = 'case $1 in allnoconfig) cp "$KCONFIG_ALLCONFIG" .config; exit;; olddefconfig) exit;; esac\n'
COMPILE = CONFIGURE + 'echo "  CC      init/main.o"\ncp "$(dirname "$0")/image" vmlinux\n'


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/squib/kernels"


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a make of these shell lines first on the PATH; the source is a package that holds one file."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/image").write_bytes(vmlinux())
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(apt, "download", lambda package, folder: _package(folder))

    def install(script: str) -> None:
        (tmp_path / "bin/make").write_text(f"#!/bin/sh\n{script}")
        (tmp_path / "bin/make").chmod(0o755)

    return install


def _package(folder: Path) -> Path:
    """A .deb as linux-source is one: a compressed tar in it."""
    tree = folder / "deb/usr/src"
    tree.mkdir(parents=True)
    (folder / "deb/DEBIAN").mkdir()
    (folder / "deb/DEBIAN/control").write_text(
        "Package: linux-source-9.9\nVersion: 9.9\nArchitecture: all\nMaintainer: x\nDescription: x\n"
    )
    (folder / "Makefile").write_text("all:\n")
    with tarfile.open(tree / "linux-source-9.9.tar.gz", "w:gz") as archive:
        archive.add(folder / "Makefile", "linux-source-9.9/Makefile")
        archive.add(folder / "Makefile", "linux-source-9.9/sound/left-out.c")
    deb = folder / "linux.deb"
    subprocess.run([tool("dpkg-deb"), "-Znone", "-b", folder / "deb", deb], check=True, capture_output=True)
    return deb


def test_it_is_kept_with_its_configuration(make: Callable[[str], None], cache: Path) -> None:
    make(COMPILE)
    seen: list[tuple[str, float | None]] = []
    kernel = kernel_build.build(KEY, 2, lambda step, done: seen.append((step, done)))
    assert kernel == kernel_cache.load(KEY.name)
    assert kernel.needs_initrd is False
    assert "CONFIG_PVH=y" in config_path(KEY.name).read_text()
    assert [step for step, _ in seen] == [
        "downloading linux-source-9.9 9.9-1", "unpacking the source", "configuring", "compiling the kernel", "keeping the kernel",
    ]  # fmt: skip
    assert not list(cache.glob(".staging-*"))


@pytest.mark.parametrize(
    ("script", "kind", "said", "detail"),
    [
        (CONFIGURE.replace("olddefconfig)", "olddefconfig) sed -i s/CONFIG_PVH=y// .config;"), ApplianceError, "did not take 1 lines of tuned.config", "CONFIG_PVH=y (it is # CONFIG_PVH is not set)"),
        (CONFIGURE + "echo 'x.c:1: error: no'; exit 2\n", HostError, "the kernel did not compile", "x.c:1: error: no"),
        (CONFIGURE + "echo 'ld: No space left on device'; exit 2\n", StorageError, "no space left to compile", "No space left"),
        (CONFIGURE + "echo 'gcc: fatal error: Killed signal terminated program cc1'; exit 2\n", HostError, "the compiler was killed", "cc1"),
        (CONFIGURE + "echo nothing > vmlinux\n", ApplianceError, "not a Linux kernel", ""),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_said_and_leaves_nothing(
    make: Callable[[str], None], cache: Path, script: str, kind: type[SquibError], said: str, detail: str
) -> None:
    make(script)
    with pytest.raises(kind, match=said) as caught:
        kernel_build.build(KEY, 1, silent)
    assert detail in caught.value.detail
    assert list(cache.iterdir()) == []


def test_an_interrupt_ends_all_that_make_started(make: Callable[[str], None], cache: Path, tmp_path: Path) -> None:
    make(CONFIGURE + f'sleep 300 & echo $! > {tmp_path}/pid\necho "  CC      init/main.o"\nwait\n')

    def interrupt(step: str, _done: float | None) -> None:
        if step.startswith("compiling"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kernel_build.build(KEY, 1, interrupt)
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and _state(pid) != "Z" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{pid}").exists() or _state(pid) == "Z"
    assert list(cache.iterdir()) == []


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_the_package_is_found_by_the_name_that_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {
        "linux-source": Package("linux-source", "9.9", "", (("linux-doc",), ("linux-source-9.9",))),
        "linux-source-9.9": SOURCE,
    }
    monkeypatch.setattr(apt, "show", known.get)
    assert kernel_source.find() is SOURCE
    del known["linux-source-9.9"]
    with pytest.raises(UnavailableError, match="leads to no source"):
        kernel_source.find()
    known.clear()
    with pytest.raises(UnavailableError, match="apt knows no package linux-source") as caught:
        kernel_source.find()
    assert caught.value.hint == "sudo apt-get update"


def test_all_that_is_missing_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(command, "_ADMIN_FOLDERS", ())
    with pytest.raises(UnavailableError, match="lacks bc, bison, flex, gcc, binutils, make, xz-utils") as caught:
        kernel_tools.require()
    assert caught.value.hint == "sudo apt-get install bc bison flex gcc binutils make xz-utils libc6-dev libelf-dev"


@pytest.mark.tool
def test_the_compiler_is_named_with_its_digest() -> None:
    for name in ("gcc", "ld"):
        tool(name)
    records = kernel_tools.compiler_inputs()
    assert [record.name for record in records] == ["as", "cc1", "ld"]
    assert all(len(record.sha256) == 64 for record in records)
    assert "gcc" in records[1].version
