"""What tests share: a missing program skips on a laptop and fails in CI."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

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


def golden(name: str, actual: str, *, update: bool) -> None:
    """Holds `actual` against tests/golden/`name`; `pytest --update-golden` writes it anew."""
    path = PROJECT / "tests" / "golden" / name
    if update:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(actual, encoding="utf-8")
    if not path.exists():
        pytest.fail(f"{path} is missing: run pytest --update-golden, and read what it wrote")
    assert actual == path.read_text(encoding="utf-8")
