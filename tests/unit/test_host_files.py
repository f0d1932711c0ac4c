"""Files whole or not there, whatever fails in the middle."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from squib.errors import HostError, MissingError, PermissionDeniedError, SquibError, StorageError
from squib.host import files


def test_write_atomic_keeps_the_mode_under_any_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        files.write_atomic(tmp_path / "a/b/file", b"data", 0o644)
    finally:
        os.umask(before)
    assert (tmp_path / "a/b/file").read_bytes() == b"data"
    assert stat.S_IMODE((tmp_path / "a/b/file").stat().st_mode) == 0o644


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_atomic(tmp_path / "file", b"old")

    def full(_descriptor: int, _mode: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fchmod", full)
    with pytest.raises(StorageError, match="no space left"):
        files.write_atomic(tmp_path / "file", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_staging_is_gone_after_an_exception(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), files.staging(tmp_path) as folder:
        (folder / "half").write_bytes(b"x")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_the_first_to_publish_a_folder_wins(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with files.staging(tmp_path) as folder:
            (folder / "file").write_text(text)
            files.publish(folder, tmp_path / "final")
    assert (tmp_path / "final/file").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["final"]


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StorageError),
        (errno.EDQUOT, StorageError),
        (errno.EROFS, StorageError),
        (errno.EIO, StorageError),
        (errno.EACCES, PermissionDeniedError),
        (errno.ENOENT, MissingError),
        (errno.ENOTDIR, StorageError),
        (errno.ELOOP, HostError),
    ],
)
def test_errors_of_the_system_become_ours(number: int, kind: type[SquibError], tmp_path: Path) -> None:
    with pytest.raises(kind) as caught, files.storage_errors(tmp_path):
        raise OSError(number, os.strerror(number))
    assert str(tmp_path) in str(caught.value)


def test_homes_follow_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/someone")
    assert files.cache_home() == Path("/somewhere/squib")
    assert files.state_home() == Path("/home/someone/.local/state/squib")


def test_what_a_killed_process_left_is_swept_and_what_another_uses_is_not(tmp_path: Path) -> None:
    """A child stages and is killed; this process sweeps. A live child's folder stays, however old."""
    script = (
        "import os, sys, time; from pathlib import Path; from squib.host import files\n"
        "with files.staging(Path(sys.argv[1])) as folder:\n    print(folder, flush=True); time.sleep(60)\n"
    )
    children = [subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        folders = []
        for child in children:
            assert child.stdout is not None
            folders.append(Path(child.stdout.readline().strip()))
        children[0].kill()
        children[0].wait()
        for folder in folders:
            os.utime(folder, (0, 0))
        with files.staging(tmp_path) as own:
            assert sorted(tmp_path.iterdir()) == sorted([folders[1], own])
    finally:
        for child in children:
            child.kill()
            child.communicate()
