"""A growing file is followed by its events, or by a timer where there are none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from squib.errors import MissingError
from squib.host import command, follow
from squib.host.follow import Follower
from squib.host.process import Handle, adopt

WRITER = "import sys, signal; f = open(sys.argv[1], 'ab', 0); [f.write(b'%d ' % i) for i in range(200)]; sys.argv[2:] and signal.pause()"


def writer(path: Path, *arguments: str) -> Handle:
    line = (sys.executable, "-ISc", WRITER, str(path), *arguments)
    return adopt(command.spawn(line, cwd=path.parent, stdout=1, stderr=2, new_session=True))


@pytest.fixture(params=["inotify", "timer"])
def path(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if request.param == "timer":
        monkeypatch.setattr(follow, "_watch", lambda path: -1)
    path = tmp_path / "console"
    path.write_bytes(b"before ")
    return path


def test_all_is_read_until_the_writer_ends(path: Path) -> None:
    with Follower(path) as follower, writer(path) as process:
        said = follower.drain(process, 60)
        assert process.ended()
    assert said == b"before " + b"".join(b"%d " % i for i in range(200))


def test_from_an_offset_while_the_writer_lives(path: Path) -> None:
    said = b""
    with Follower(path, offset=7) as follower, writer(path, "stay") as process:
        while not said.endswith(b"199 "):
            assert not follower.wait(process, 60)
            said += follower.read()
        assert said.startswith(b"0 1 ")
        assert follower.drain(process, 0.02) == b""
        process.kill()
        assert follower.wait(process, 60)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        Follower(tmp_path / "none")
