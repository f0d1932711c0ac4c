"""Output that cannot be written is no mistake of squib's."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from squib.errors import StorageError, UsageError


def squib(home: Path, *words: str, output: Path, stderr: Path | None = None) -> tuple[int, str]:
    with output.open("wb") as full, (stderr or Path("/dev/null")).open("wb") as other:
        process = subprocess.run(
            [sys.executable, "-m", "squib", *words],
            stdout=full,
            stderr=subprocess.PIPE if stderr is None else other,
            env={**os.environ, "XDG_STATE_HOME": str(home), "XDG_CACHE_HOME": str(home)},
            check=False,
        )
    return process.returncode, (process.stderr or b"").decode()


@pytest.mark.parametrize("words", [("ps",), ("ps", "--json"), ("--help",)])
def test_a_full_disk(words: tuple[str, ...], tmp_path: Path) -> None:
    status, said = squib(tmp_path, *words, output=Path("/dev/full"))
    assert status == StorageError.exit_code
    assert said.splitlines() == [
        f"squib: the output cannot be written: {os.strerror(errno.ENOSPC)}",
        "  try: free some space (df -h), or write elsewhere",
    ]


def test_a_full_disk_for_the_message_too(tmp_path: Path) -> None:
    assert squib(tmp_path, "ps", output=Path("/dev/full"), stderr=Path("/dev/full"))[0] == StorageError.exit_code


@pytest.mark.parametrize("words", [("nosuch",), ("ps", "--nosuch"), ("run", "--memory", "x")])
def test_a_full_disk_for_a_message_leaves_its_exit_code(words: tuple[str, ...], tmp_path: Path) -> None:
    assert squib(tmp_path, *words, output=Path("/dev/null"), stderr=Path("/dev/full"))[0] == UsageError.exit_code


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("words", "status"), [("ps", 0), ("--help", 0), ("nosuch", UsageError.exit_code)])
def test_a_closed_stream_is_as_one_on_dev_null(closed: str, words: str, status: int, tmp_path: Path) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" -m squib {words} {closed}', sys.executable],
        capture_output=True,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)},
        check=False,
    )
    assert done.returncode == status
    assert b"mistake" not in done.stdout + done.stderr
    if ">&-" in closed.split():
        assert done.stdout == b""
    if "2>&-" in closed.split():
        assert done.stderr == b"", "and no error on standard output"
        assert b"squib: " not in done.stdout
