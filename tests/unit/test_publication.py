"""Files that change together: whoever is killed on the way, at any of its steps, leaves all the old ones or all the new."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from squib.errors import StorageError
from squib.host.publication import READY, find, finish, publish_together

LAST = "manifest"
NAMES = ("disk", "kernel", LAST)

# Kills itself before the Nth of the calls that change a folder; Python tells each of them (sys.addaudithook).
KILLED = """
import os, signal, sys
from pathlib import Path
from squib.host.publication import publish_together
staged, folder, left = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
def count(event, arguments):
    global left
    if event in {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.chmod", "os.symlink"}:
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
publish_together(staged, folder, last="manifest")
"""


def staged(folder: Path, content: str) -> Path:
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_text(content)
    return folder


def seen(folder: Path) -> list[str]:
    """As whoever reads finds them."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        return [(folder / find(descriptor, name, last=LAST)).read_text() for name in NAMES]
    finally:
        os.close(descriptor)


def finished(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    finish(descriptor, last=LAST)
    os.close(descriptor)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    publish_together(staged(tmp_path / "first", "old"), folder, last=LAST)
    (folder / "notes.txt").write_text("somebody's own")
    (folder / "photos").mkdir()
    (folder / "photos/1").write_text("a photo")
    return folder


def test_they_take_the_place_of_those_that_are_there_and_leave_the_rest(tmp_path: Path, out: Path) -> None:
    publish_together(staged(tmp_path / "next", "new"), out, last=LAST)
    assert {path.name: path.read_text() for path in out.iterdir() if path.is_file()} == {
        **dict.fromkeys(NAMES, "new"),
        "notes.txt": "somebody's own",
    }
    assert (out / "photos/1").read_text() == "a photo"
    assert not (out / READY).exists()


def test_killed_at_each_step_it_leaves_all_old_or_all_new(tmp_path: Path, out: Path) -> None:
    found, content = [], ""
    for step in range(1, 100):
        content = f"build {step}"
        before = seen(out)
        arguments = (str(staged(tmp_path / f"staged-{step}", content)), str(out), str(step))
        ended = subprocess.run((sys.executable, "-c", KILLED, *arguments), timeout=60, check=False).returncode
        assert seen(out) in (before, [content] * 3)
        assert (out / "notes.txt").read_text() == "somebody's own"
        assert (out / "photos/1").read_text() == "a photo"
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
        found.append(seen(out) == before)
    assert set(found) == {True, False}  # it was killed before and after they count
    assert not (out / READY).exists()
    assert [(out / name).read_text() for name in NAMES] == [content] * 3


def test_what_was_left_is_finished_by_the_next(tmp_path: Path, out: Path) -> None:
    staged(out / READY, "new")
    (out / READY / "disk").replace(out / "disk")
    assert seen(out) == ["new"] * 3
    finished(out)
    assert [(out / name).read_text() for name in NAMES] == ["new"] * 3
    assert not (out / READY).exists()
    finished(out)  # nothing is left to do


def test_where_a_folder_has_a_files_name_nothing_changes(tmp_path: Path, out: Path) -> None:
    (out / "kernel").unlink()
    (out / "kernel").mkdir()
    with pytest.raises(StorageError, match="kernel is a folder"):
        publish_together(staged(tmp_path / "next", "new"), out, last=LAST)
    assert (out / "disk").read_text() == "old"
    assert not (out / READY).exists()


def test_what_is_not_squibs_is_left_there(tmp_path: Path, out: Path) -> None:
    (out / READY).mkdir()
    (out / READY / "strange").write_text("x")
    with pytest.raises(StorageError, match=r"files that are not squib's"):
        publish_together(staged(tmp_path / "next", "new"), out, last=LAST)
    assert seen(out) == ["old"] * 3
    assert (out / READY / "strange").exists()


def test_many_at_the_same_moment_leave_the_files_of_one(tmp_path: Path, out: Path) -> None:
    def publish(number: int) -> None:
        publish_together(staged(tmp_path / f"by-{number}", str(number)), out, last=LAST)

    for turn in range(10):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(publish, range(turn * 4, turn * 4 + 4)))
        assert len(set(seen(out))) == 1
        assert not (out / READY).exists()


def test_a_link_in_place_of_the_ready_folder_is_not_followed(tmp_path: Path, out: Path) -> None:
    other = staged(tmp_path / "other", "another's")
    (out / READY).symlink_to(other)
    with pytest.raises(StorageError):
        publish_together(staged(tmp_path / "next", "new"), out, last=LAST)
    finished(out)
    assert sorted(path.name for path in other.iterdir()) == sorted(NAMES)


def test_from_another_file_system_they_are_copied_first(tmp_path: Path, out: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        if Path(memory).stat().st_dev == out.stat().st_dev:
            pytest.skip("all of this is one file system")
        content = staged(Path(memory) / "next", "new")
        (content / "disk").chmod(0o600)
        publish_together(content, out, last=LAST)
        assert seen(out) == ["new"] * 3
        assert (out / "disk").stat().st_mode & 0o777 == 0o600
        (out / "kernel").unlink()
        (out / READY).mkdir()
        (out / READY / "strange").touch()
        with pytest.raises(StorageError):
            publish_together(content, out, last=LAST)
    assert not list(out.glob(".staging-*"))


def test_a_folder_that_is_swapped_for_a_link_leads_no_file_elsewhere(tmp_path: Path, out: Path) -> None:
    """What was opened is what is changed."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "disk").write_text("precious")
    staged(out / READY, "new")
    descriptor = os.open(out, os.O_RDONLY)
    out.rename(tmp_path / "moved")
    out.symlink_to(victim)
    finish(descriptor, last=LAST)
    os.close(descriptor)
    assert {path.name: path.read_text() for path in victim.iterdir()} == {"disk": "precious"}
    assert seen(tmp_path / "moved") == ["new"] * 3
