"""The same inputs give the same four files: other folders, users, homes, umasks, locales and clocks leave no trace."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import PROJECT, tool

pytestmark = pytest.mark.tool

FILES = {"initrd.img", "manifest.json", "rootfs.ext4", "vmlinux"}

SCRIPT = """
import hashlib, sys
from pathlib import Path
from squib.build.artifact import plan_artifact, write_artifact
from squib.build.kernels import Kernel
from squib.host.appliances import find_appliance
from squib.model.image import FileRecord, KernelRecord
from squib.model.progress import silent
data = b"kernel" * 10000
vmlinux = Path(sys.argv[1] + ".kernel")
vmlinux.write_bytes(data)
kernel = Kernel(vmlinux, FileRecord("vmlinux", len(data), hashlib.sha256(data).hexdigest()), KernelRecord("6", "a test", 67), (), ())
write_artifact(plan_artifact(find_appliance("clock", Path.cwd()), kernel, silent), Path(sys.argv[1]), silent)
"""


@pytest.fixture(scope="module")
def source() -> Iterator[Path]:
    """Squib and its packages where every user can read them: the checkout may lie where only root gets to."""
    folder = Path(tempfile.mkdtemp(prefix="squib-source-"))
    shutil.copytree(PROJECT / "src/squib", folder / "squib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("elftools", "httptools", "httptools-*", "msgspec", "lz4", "zstandard"):
        for found in Path(sysconfig.get_path("purelib")).glob(name):
            shutil.copytree(found, folder / found.name, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
    yield folder
    shutil.rmtree(folder)


def build(source: Path, home: Path, umask: int = 0o022, prefix: tuple[str, ...] = (), **environment: str) -> dict[str, str]:
    python = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    done = subprocess.run(
        [*prefix, python, "-P", "-c", SCRIPT, str(home / "out")],
        cwd=home, umask=umask, env={"PYTHONPATH": str(source), "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (home / "out").iterdir()} - {"notes.txt"} == FILES
    return {name: hashlib.sha256((home / "out" / name).read_bytes()).hexdigest() for name in sorted(FILES)}


@pytest.fixture(scope="module")
def first(source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    home = tmp_path_factory.mktemp("home")
    return home, build(source, home)


def test_again_with_a_warm_cache(source: Path, first: tuple[Path, dict[str, str]]) -> None:
    home, digests = first
    (home / "out/notes.txt").write_text("mine")
    assert build(source, home) == digests
    assert (home / "out/notes.txt").read_text() == "mine"


def test_other_folder_home_umask_locale_zone_and_hash_seed(
    source: Path, first: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    home = tmp_path / "another home"
    home.mkdir()
    assert build(source, home, 0o077, LC_ALL="C", TZ="Pacific/Kiritimati", PYTHONHASHSEED="7") == first[1]


@pytest.mark.root
def test_another_user(source: Path, first: tuple[Path, dict[str, str]]) -> None:
    home = Path(tempfile.mkdtemp(prefix="squib-nobody-"))
    try:
        os.chown(home, 65534, 65534)
        nobody = (tool("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups", "--")
        assert build(source, home, prefix=nobody) == first[1]
    finally:
        shutil.rmtree(home)
