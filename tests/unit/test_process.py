"""Processes by identity and pidfd."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from squib.host import command
from squib.host.process import Handle, ProcessIdentity, adopt, alive, boot_id, identify, myself, working_in

SLEEP = "import signal; print('up', flush=True); signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\nwhile True: signal.pause()"


def start(program: str, folder: Path) -> Handle:
    """A child that has said `up`."""
    reader, writer = os.pipe()
    child = command.spawn((sys.executable, "-ISc", program), cwd=folder, stdout=writer, stderr=writer, new_session=True)
    os.close(writer)
    process = adopt(child)
    assert os.read(reader, 2) == b"up"
    os.close(reader)
    return process


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Handle]:
    with start(SLEEP, tmp_path) as process:
        yield process
        process.kill()


def test_myself() -> None:
    me = myself()
    assert me.pid == os.getpid()
    assert me.boot_id == boot_id()
    assert alive(me)
    assert not alive(replace(me, start_time=me.start_time + 1)), "a recycled pid is not the process"
    assert not alive(replace(me, boot_id="another"))


def test_a_name_with_parentheses_and_spaces(tmp_path: Path) -> None:
    program = tmp_path / "a) R 1 (b"
    program.symlink_to("/bin/sleep")
    child = subprocess.Popen([str(program), "60"])
    try:
        found = identify(child.pid)
        assert found is not None
        assert abs(found.start_time - myself().start_time) < 1_000_000
        assert found.start_time >= myself().start_time
    finally:
        child.kill()
        child.wait()


def test_a_zombie_is_no_longer_there(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-ISc", "pass"])
    descriptor = os.pidfd_open(child.pid)
    os.waitid(os.P_PIDFD, descriptor, os.WEXITED | os.WNOWAIT)
    os.close(descriptor)
    assert identify(child.pid) is None
    child.wait()


def status(process: Handle) -> int | None:
    """A property that changes by a method: the type checker would hold its first value for its last."""
    return process.returncode


def test_end_waits_and_tells_how(sleeper: Handle) -> None:
    assert not sleeper.wait(0)
    assert status(sleeper) is None
    sleeper.end()
    assert sleeper.ended()
    assert status(sleeper) == -signal.SIGTERM
    assert identify(sleeper.pid) is None
    sleeper.signal(signal.SIGTERM)  # nothing happens


def test_end_uses_force_where_it_must(tmp_path: Path) -> None:
    with start(STUBBORN, tmp_path) as process:
        process.end(patience=0.05)
        assert process.returncode == -signal.SIGKILL


def test_an_exit_status_is_kept(tmp_path: Path) -> None:
    with adopt(
        command.spawn((sys.executable, "-ISc", "raise SystemExit(3)"), cwd=tmp_path, stdout=1, stderr=2, new_session=True)
    ) as process:
        assert process.wait(20)
        assert process.returncode == 3


def test_open_by_identity(sleeper: Handle) -> None:
    with Handle.open(sleeper.identity) or pytest.fail("it lives") as again:
        assert again.pid == sleeper.pid
    assert Handle.open(replace(sleeper.identity, start_time=1)) is None
    sleeper.kill()
    assert Handle.open(sleeper.identity) is None


def test_no_such_process() -> None:
    assert identify(2**22 + 1) is None
    assert Handle.open(ProcessIdentity(2**22 + 1, 1, boot_id())) is None


def test_working_in(sleeper: Handle, tmp_path: Path) -> None:
    """A squib's child has a file there for its standard error; whoever only looks around there is left in peace."""
    assert working_in(tmp_path) == ()
    with (tmp_path / "log").open("wb") as log:
        child = command.spawn(("sleep", "60"), cwd=tmp_path, stdout=log, stderr=log, new_session=True)
    with adopt(child) as process:
        (tmp_path / "log").unlink()
        assert working_in(tmp_path) == (process.identity,)
        assert working_in(tmp_path / "elsewhere") == ()
        (tmp_path / "link").symlink_to(tmp_path)
        assert working_in(tmp_path / "link") == (process.identity,)
        assert working_in(tmp_path, said_in=tmp_path / "elsewhere") == ()
        process.kill()
    assert alive(sleeper.identity)


def test_working_in_with_words_elsewhere(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    with (there / "log").open("wb") as log:
        child = command.spawn(("sleep", "60"), cwd=here, stdout=log, stderr=log, new_session=True)
    with adopt(child) as process:
        assert working_in(here) == ()
        assert working_in(here, said_in=there) == (process.identity,)
        process.kill()
