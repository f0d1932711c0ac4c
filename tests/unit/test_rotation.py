"""A file that another process appends to is cut: nothing is lost, nothing is read twice, and readers keep their place."""

from __future__ import annotations

import errno
import fcntl
import random
import stat
import sys
from pathlib import Path

import pytest

from squib.errors import MissingError, StorageError
from squib.host import command, rotation
from squib.host.follow import Follower
from squib.host.process import adopt
from squib.host.rotation import last_lines, pieces, rotate, tail

BLOCK = 1 << 16


@pytest.fixture(params=["collapsed", "emptied"])
def log(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With and without a file-system that can take away a file's front."""
    if request.param == "emptied":
        monkeypatch.setattr(rotation, "_collapse", lambda descriptor, size: False)
    path = tmp_path / "log"
    path.touch()
    return path


def append(log: Path, data: bytes) -> bytes:
    with log.open("ab") as file:
        file.write(data)
    return data


def stream(log: Path) -> bytes:
    return b"".join(piece.read_bytes() for piece in reversed(pieces(log))) + log.read_bytes()


def test_a_cut_keeps_every_byte(log: Path) -> None:
    data = append(log, random.Random(1).randbytes(5 * BLOCK + 17))
    inode = log.stat().st_ino
    assert not rotate(log, over=len(data), keep=3)
    assert rotate(log, over=len(data) - 1, keep=3)
    assert stream(log) == data
    assert log.stat().st_size <= BLOCK
    assert log.stat().st_ino == inode, "the writer has it open"
    assert stat.S_IMODE(pieces(log)[0].stat().st_mode) == 0o600
    assert sorted(path.name for path in log.parent.iterdir()) == ["log", "log.1"]


def test_the_oldest_piece_goes(log: Path) -> None:
    data = b""
    for number in range(6):
        data += append(log, bytes([number]) * 2 * BLOCK)
        assert rotate(log, over=BLOCK, keep=3)
    assert len(pieces(log)) == 3
    assert data.endswith(stream(log))
    assert len(stream(log)) >= 6 * BLOCK


def test_a_small_file_is_cut_too(log: Path) -> None:
    append(log, b"few")
    assert rotate(log, over=1, keep=1)
    assert stream(log) == b"few"


def test_the_end_of_the_stream(log: Path) -> None:
    data = b""
    for number in range(3):
        data += append(log, random.Random(number).randbytes(2 * BLOCK + number))
        rotate(log, over=BLOCK, keep=9)
    for size in (0, 1, 5, BLOCK, 2 * BLOCK + 1, 4 * BLOCK, len(data), len(data) + 1):
        assert tail(log, size) == data[max(0, len(data) - size) :]


def test_who_comes_second_does_nothing(log: Path) -> None:
    data = append(log, b"x" * 3 * BLOCK)
    with log.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert not rotate(log, over=1, keep=3)
    assert log.read_bytes() == data
    assert rotate(log, over=1, keep=3)


def test_on_a_full_disk_nothing_is_lost(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = append(log, b"x" * 3 * BLOCK)

    def full(descriptor: int, to: Path, size: int | None) -> None:
        to.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "full", str(to))

    monkeypatch.setattr(rotation, "_copy", full)
    with pytest.raises(StorageError, match="no space left"):
        rotate(log, over=1, keep=3)
    assert [path.name for path in log.parent.iterdir()] == ["log"]
    assert log.read_bytes() == data


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        rotate(tmp_path / "none", over=1, keep=1)
    with pytest.raises(MissingError):
        tail(tmp_path / "none", 1)


@pytest.mark.parametrize("seed", range(20))
def test_followers_read_all_once_and_in_order(log: Path, seed: int) -> None:
    """Several, which look at different moments; none is so far behind that what it has not read is gone."""
    chance = random.Random(seed)
    written = append(log, b"before")
    early = Follower(log, older=True), Follower(log, offset=6)
    read = [b"", b"before"]
    for _ in range(30):
        written += append(log, chance.randbytes(chance.randrange(3 * BLOCK)))
        if chance.random() < 0.5:
            rotate(log, over=BLOCK, keep=99)
        for number, follower in enumerate(early):
            if chance.random() < 0.4:
                read[number] += follower.read()
    with Follower(log, older=True) as late:
        assert late.read() == written
        assert late.read() == b""
    for number, follower in enumerate(early):
        assert read[number] + follower.read() == written
        follower.close()


def test_who_is_too_far_behind_reads_what_is_left(log: Path) -> None:
    append(log, b"a" * 100)
    with Follower(log) as follower:
        append(log, b"a" * 2 * BLOCK)
        rotate(log, over=BLOCK, keep=2)
        follower.read()
        for letter in b"bcdefg":
            append(log, bytes([letter]) * 2 * BLOCK)
            rotate(log, over=BLOCK, keep=2)
        assert follower.read() == stream(log)
        append(log, b"end")
        assert follower.read() == b"end"


def test_a_file_that_is_removed_while_it_is_followed(log: Path) -> None:
    append(log, b"x" * 2 * BLOCK)
    with Follower(log) as follower:
        rotate(log, over=1, keep=2)
        for path in log.parent.iterdir():
            path.unlink()
        follower.read()
        assert follower.read() == b""


WRITER = """
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
for number in range(20000):
    os.write(fd, b"%08d\\n" % number)
"""


def test_a_writer_that_never_waits(tmp_path: Path) -> None:
    """Where the front can be taken away, not one line of another process is lost."""
    log = tmp_path / "log"
    log.touch()
    if not rotation._can_collapse(tmp_path / "log.new"):
        pytest.skip("this file-system cannot collapse a range")
    process = adopt(
        command.spawn((sys.executable, "-ISc", WRITER, str(log)), cwd=tmp_path, stdout=1, stderr=2, new_session=True)
    )
    cuts = 0
    with process, Follower(log) as follower:
        read = b""
        while not process.ended():
            cuts += rotate(log, over=BLOCK, keep=9)
            read += follower.read()
        read += follower.read()
    assert read == b"".join(b"%08d\n" % number for number in range(20000)) == stream(log)
    assert cuts > 0


def test_a_cut_that_hangs_holds_no_reader_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "console.log"
    log.write_bytes(b"line\n")
    monkeypatch.setattr(rotation, "_PATIENCE_S", 0.05)
    with log.open("rb") as other:
        fcntl.flock(other.fileno(), fcntl.LOCK_EX)
        assert rotation.tail(log, 100) == b"line\n"


def test_what_a_cut_leaves_of_a_line_is_no_line(tmp_path: Path) -> None:
    """Else a guest could write a line whose end reads as one of PID 1's, where the cut falls right before that."""
    log = tmp_path / "console.log"
    log.write_bytes(b"first\nnonsense squib.exit\nlast\n")
    assert {size: last_lines(log, size) for size in (4, 5, 15, 16, 17, 24, 25, 30, 31, 100)} == {
        4: b"",
        **dict.fromkeys((5, 15, 16, 17, 24), b"last\n"),
        **dict.fromkeys((25, 30), b"nonsense squib.exit\nlast\n"),
        **dict.fromkeys((31, 100), log.read_bytes()),
    }
