"""The command line as a person uses it: the real program, with homes of its own and a kernel that is fetched once."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from program import Squib
from squib.errors import SquibError
from squib.host import files
from support import PROJECT, missing, tool

UNFINISHED = shutil.ignore_patterns(".staging-*")
"""What another squib is just making."""


@pytest.fixture(scope="session")
def kernel_cache() -> Path:
    """A folder with the distribution's kernel as squib caches it; fetched at most once a machine."""
    from squib.wiring import kernel_source

    try:
        kernel_source(None, None).obtain(lambda *_: None)
    except SquibError as error:
        missing(f"no kernel: {error}")
    return files.cache_home() / "kernels"


def _home(kernel_cache: Path, folder: Path) -> Path:
    shutil.copytree(kernel_cache, folder / "cache/squib/kernels", ignore=UNFINISHED)
    return folder


@pytest.fixture
def squib(kernel_cache: Path, tmp_path: Path) -> Iterator[Squib]:
    """Squib with homes of its own; whatever it left running is ended, and is a failure."""
    program = Squib((sys.executable, "-m", "squib"), _home(kernel_cache, tmp_path))
    yield program
    left = program.processes()
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left, f"left running: {left}"


@pytest.fixture
def qemu() -> str:
    return tool("qemu-system-x86_64")


@pytest.fixture(scope="session")
def readable_tree() -> Iterator[Path]:
    """A copy of squib and its packages that every user can read: the checkout may lie where only root gets to."""
    folder = Path(tempfile.mkdtemp(prefix="squib-readable-"))
    shutil.copytree(PROJECT / "src/squib", folder / "squib", ignore=shutil.ignore_patterns("__pycache__"))
    for package in (
        "click",
        "httptools",
        "lz4",
        "msgspec",
        "elftools",
        "rich",
        "zstandard",
        "markdown_it",
        "mdurl",
        "pygments",
    ):
        found = importlib.util.find_spec(package)
        assert found is not None
        assert found.origin is not None
        shutil.copytree(Path(found.origin).parent, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["chmod", "-R", "a+rX", str(folder)], check=True)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def plain_user(readable_tree: Path, kernel_cache: Path) -> Iterator[Squib]:
    """Squib run by nobody (65534), with a home of that user."""
    setpriv = tool("setpriv")
    home = Path(tempfile.mkdtemp(prefix="squib-nobody-"))
    shutil.copytree(kernel_cache, home / "cache/squib/kernels", ignore=UNFINISHED)
    subprocess.run(["chown", "-R", "65534:65534", str(home)], check=True)
    program = Squib(
        ("/usr/bin/python3", "-m", "squib"),
        home,
        extra={"PYTHONPATH": str(readable_tree), "PYTHONDONTWRITEBYTECODE": "1"},
        prefix=(setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", "--"),
    )
    yield program
    left = program.processes()
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(home)
    assert not left, f"left running: {left}"
