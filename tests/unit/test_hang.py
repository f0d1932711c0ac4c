"""A run of these tests that hangs is ended, and tells where."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import PROJECT

IN_A_POOL = """
from concurrent.futures import ThreadPoolExecutor
import threading, pytest

def nobody_sets_it():
    threading.Event().wait()

@pytest.mark.timeout(1)
def test_hangs():
    with ThreadPoolExecutor(1) as pool:
        pool.submit(nobody_sets_it).result()
"""
AT_THE_END = """
import threading, pytest

@pytest.fixture(scope="session")
def never_gone():
    yield
    threading.Event().wait()

def test_passes(never_gone):
    pass
"""


@pytest.mark.parametrize(
    ("text", "options", "where"),
    [
        (IN_A_POOL, ("--grace=0.5",), "nobody_sets_it"),
        (AT_THE_END, ("--timeout=0", "--run-limit=5"), "never_gone"),
    ],
    ids=["pool", "run"],
)
def test_a_hang(tmp_path: Path, text: str, options: tuple[str, ...], where: str) -> None:
    (tmp_path / "test_it.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "conftest", "-p", "no:cacheprovider", *options, "test_it.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{PROJECT / 'tests'}:{PROJECT / 'src'}"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Timeout (" in done.stderr
    assert where in done.stderr
