"""A state file that is locked, damaged, old, new, on a full disk, or read-only, as a person meets it: a message, a remedy, a code."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from program import Squib
from squib.app.ending import Ending
from squib.cli import main
from squib.errors import StorageError
from squib.model.machine import Accel
from squib.store import SCHEMA_VERSION, Machine, Reservation, Store, database
from support import PROJECT, tool

# Every verb that opens the store and needs no image.
VERBS = [
    ("ps",),
    ("stop", "x"),
    ("rm", "x"),
    ("rm", "--all-ended"),
    ("restart", "x"),
    ("wait", "x"),
    ("inspect", "x"),
]


@pytest.fixture
def alone(tmp_path: Path) -> Squib:
    """Squib with homes of its own, and nothing to boot."""
    return Squib((sys.executable, "-m", "squib"), tmp_path)


@pytest.fixture
def state(alone: Squib) -> Path:
    folder = alone.home / "state/squib"
    folder.mkdir(parents=True)
    return folder


def refused(squib: Squib, verb: tuple[str, ...], code: int, said: str, hint: str) -> None:
    done = squib.run(*verb, timeout=30)
    assert done.returncode == code, done.stdout + done.stderr
    assert said in done.stderr
    assert f"  try: {hint}" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("verb", VERBS, ids="-".join)
def test_damaged(alone: Squib, state: Path, verb: tuple[str, ...]) -> None:
    path = state / "state.db"
    path.write_bytes(b"this was a database once " * 400)
    refused(alone, verb, 74, "state.db is damaged", f"move it away: mv {path} {path}.damaged")
    assert path.read_bytes() == b"this was a database once " * 400, "nothing is changed"


def test_damaged_in_the_middle_and_moved_away(alone: Squib, state: Path) -> None:
    path = state / "state.db"
    with Store(state):
        pass
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xaa" * (len(data) - 4096)
    path.write_bytes(data)
    refused(alone, ("ps",), 74, "is damaged", "move it away")
    path.rename(f"{path}.damaged")
    assert json.loads(alone.ok("ps", "--json")) == []


@pytest.mark.parametrize("verb", VERBS[:1] + VERBS[4:], ids="-".join)
def test_of_a_newer_squib(alone: Squib, state: Path, verb: tuple[str, ...]) -> None:
    with Store(state) as store:
        store._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    refused(alone, verb, 74, "was written by a newer squib", "use the newer squib")


def test_of_the_first_squib(alone: Squib, state: Path) -> None:
    """Its detached machine was of another boot of the host: it has ended; it can be looked at and removed, not restarted."""
    with closing(sqlite3.connect(state / "state.db")) as connection:
        connection.executescript((PROJECT / "tests/fixtures/state-v1.sql").read_text())
    machines = {machine["name"]: machine for machine in json.loads(alone.ok("ps", "--json"))}
    assert (machines["webserver"]["state"], machines["webserver"]["ended_by"]) == ("failed", "host")
    assert (machines["ended"]["exit_status"], machines["ended"]["ended_by"]) == (70, None)
    assert "the host was restarted" in alone.ok("inspect", "webserver")
    refused(alone, ("restart", "webserver"), 66, "an older squib did it", "squib rm webserver")
    assert alone.ok("rm", "--all-ended").split() == ["webserver", "ended"]
    assert json.loads(alone.ok("ps", "--json")) == []


def test_locked_longer_than_anybody_waits(
    alone: Squib, state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process, so that what is patched here counts."""
    Store(state).close()
    monkeypatch.setattr(database, "BUSY_S", 0.1)
    for name, value in alone.env.items():
        monkeypatch.setenv(name, value)
    with closing(sqlite3.connect(state / "state.db", isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        for verb in VERBS:
            assert main._run(verb, "squib") == 74, verb
            said = capsys.readouterr().err
            assert "is locked by another program for over 0.1 s" in said
            assert "fuser -v" in said
        holder.execute("ROLLBACK")
        assert main._run(["ps"], "squib") == 0


def test_locked_for_a_moment(alone: Squib, state: Path) -> None:
    """Whoever comes waits for the other's change."""
    Store(state).close()
    with closing(sqlite3.connect(state / "state.db", isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        waiting = alone.start("ps", "--json")
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(1.5)
        holder.execute("COMMIT")
        out, err = waiting.communicate(timeout=30)
    assert waiting.returncode == 0, err
    assert json.loads(out) == []


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    subprocess.run([tool("mount"), *options, str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run([tool("umount"), str(folder)], check=True)


@pytest.mark.root
@pytest.mark.parametrize("verb", VERBS, ids="-".join)
def test_read_only(alone: Squib, state: Path, verb: tuple[str, ...]) -> None:
    Store(state).close()
    with mounted(state, "--bind", str(state)):
        subprocess.run([tool("mount"), "-o", "remount,ro,bind", str(state)], check=True)
        refused(alone, verb, 74, "read-only file-system", "choose a folder that can be written")


@pytest.mark.root
def test_a_folder_of_somebody_else(alone: Squib, state: Path, plain_user: Squib) -> None:
    Store(state).close()
    theirs = Squib(
        plain_user.command,
        plain_user.home,
        prefix=plain_user.prefix,
        extra=plain_user.extra | {"XDG_STATE_HOME": str(state.parent)},
    )
    state.parent.chmod(0o755)
    refused(theirs, ("ps",), 77, "this user may not use", "see who may: ls -ld")


@pytest.mark.root
def test_a_full_disk_lets_what_has_ended_be_removed(alone: Squib, state: Path) -> None:
    with mounted(state, "-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs"):
        with Store(state) as store:
            for name in ("a", "b"):
                machine = store.reserve(_wish(name))
                machine.run_dir.mkdir(parents=True)
                (machine.run_dir / "console.log").write_bytes(b"x" * 4096)
                store.exited(machine.id, 0, "stopped")
        try:
            with (state / "ballast").open("wb", buffering=0) as ballast:
                while True:
                    ballast.write(b"x" * 4096)
        except OSError:
            pass
        assert len(json.loads(alone.ok("ps", "--json"))) == 2
        assert alone.ok("rm", "a", "b").split() == ["a", "b"]
        assert json.loads(alone.ok("ps", "--json")) == []


def _wish(name: str) -> Reservation:

    return Reservation(name, "clock", (), "qemu", Accel.TCG, "a" * 64, 128, 1)


# What a person may type wrongly.


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["inspect"], 64, "NAME"),
        (["inspect", "nobody"], 66, "there is no machine nobody"),
        (["restart"], 64, "NAME"),
        (["restart", "nobody"], 66, "there is no machine nobody"),
        (["restart", "nobody", "--timeout", "-1"], 64, "--timeout"),
        (["restart", "nobody", "--timeout", "soon"], 64, "--timeout"),
        (["restart", "nobody", "--timeout", "nan"], 64, "expected a number of seconds, got"),
        (["stop", "nobody", "--timeout", "nan"], 64, "expected a number of seconds, got"),
        (["wait", "nobody", "--timeout", "inf"], 64, "expected a number of seconds, got"),
        (["wait"], 64, "NAME"),
        (["wait", "nobody"], 66, "there is no machine nobody"),
        (["wait", "nobody", "--timeout", "x"], 64, "--timeout"),
        (["rm"], 64, "which machines?"),
        (["rm", "nobody", "--force"], 66, "there is no machine nobody"),
        (["rm", "--all"], 64, "--all"),
        (["stop", "nobody", "--timeout", "-1"], 64, "--timeout"),
        (["stop", "x'y"], 66, "there is no machine x'y"),
        (["ps", "nobody"], 64, "nobody"),
    ],
)
def test_bad_input(alone: Squib, arguments: list[str], status: int, said: str) -> None:
    done = alone.run(*arguments)
    assert done.returncode == status, done.stdout + done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_one_wrong_name_changes_nothing(alone: Squib, state: Path) -> None:
    with Store(state) as store:
        store.exited(store.reserve(_wish("here")).id, 0, "stopped")
        for verb in ("rm", "restart", "stop", "wait", "inspect"):
            assert alone.run(verb, "here", "nobody").returncode == 66, verb
        assert store.get("here").exit_status == 0


def test_one_that_runs_keeps_the_others_from_being_removed(alone: Squib, state: Path) -> None:
    with Store(state) as store:
        for name in ("first", "last"):
            store.exited(store.reserve(_wish(name)).id, 0, "stopped")
        store.reserve(_wish("runs"))
        done = alone.run("rm", "first", "runs", "last", "--all-ended")
        assert (done.returncode, done.stdout) == (75, ""), done.stderr
        assert "the machine runs is starting" in done.stderr
        assert len(store.list()) == 3


def test_one_that_cannot_start_again_keeps_the_others_from_being_stopped(alone: Squib, state: Path) -> None:
    with Store(state) as store:
        for name in ("first", "last"):
            store.exited(store.reserve(_wish(name)).id, 0, "stopped")
        store.reserve(_wish("foreground"))
        done = alone.run("restart", "foreground", "first", "last")
        assert (done.returncode, done.stdout) == (75, ""), done.stderr
        assert {one.restarts for one in store.list()} == {0}


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_where_one_fails_those_before_it_are_told(
    alone: Squib, state: Path, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in alone.env.items():
        monkeypatch.setenv(name, value)
    with Store(state) as store:
        for name in ("first", "last"):
            store.exited(store.reserve(_wish(name)).id, 0, "stopped")
    remove = Ending.remove

    def fails(ending: Ending, name: str, *, force: bool = False) -> Machine:
        if name == "last":
            raise StorageError("the disk fell out")
        return remove(ending, name, force=force)

    monkeypatch.setattr(Ending, "remove", fails)
    assert main._run(["rm", "first", "last", *options], "squib") == 74
    said = capsys.readouterr()
    assert "the disk fell out" in said.err
    assert [one["name"] for one in json.loads(said.out)] == ["first"] if options else said.out == "first\n"


def test_rm_and_wait_of_what_has_ended(alone: Squib, state: Path) -> None:
    with Store(state) as store:
        for name, status in (("good", 0), ("bad", 70)):
            store.exited(store.reserve(_wish(name)).id, status, "over")
    assert alone.run("wait", "good").returncode == 0
    assert alone.run("wait", "good", "bad").returncode == 70
    waited = alone.run("wait", "bad", "--json")
    assert (waited.returncode, json.loads(waited.stdout)[0]["exit_status"]) == (70, 70)
    (stopped,) = json.loads(alone.ok("stop", "bad", "--json"))
    assert stopped["exit_reason"] == "over"
    removed = json.loads(alone.ok("rm", "good", "good", "--all-ended", "--json"))
    assert [machine["name"] for machine in removed] == ["good", "bad"]
