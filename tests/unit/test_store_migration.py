"""A store of the first version becomes one of this version: whole, with all that was in it, or not at all."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from ipaddress import ip_address
from pathlib import Path

import pytest

from squib.errors import TakenError
from squib.model.machine import Accel, PortForward, VmState
from squib.model.run import LOOPBACK, Publish
from squib.store import SCHEMA_VERSION, Reservation, Store, schema
from support import PROJECT

V1 = (PROJECT / "tests/fixtures/state-v1.sql").read_text()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A folder with a database as the first version left it."""
    with closing(sqlite3.connect(tmp_path / "state.db")) as connection:
        connection.executescript(V1)
    return tmp_path


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [f"user_version {connection.execute('PRAGMA user_version').fetchone()[0]}", *connection.iterdump()]


def test_everything_in_it_is_kept(old: Path) -> None:
    with Store(old) as store:
        running, ended = store.list()
        assert (running.name, running.state, running.accel, running.mem_size_mib) == (
            "webserver",
            VmState.RUNNING,
            Accel.TCG,
            128,
        )
        forward = PortForward(ip_address("127.0.0.1"), 18080, 80)
        assert running.forwards == running.published == (forward,)
        assert running.process is not None
        assert running.process.pid == 4194304
        assert (running.run_spec, running.artifact, running.ready_ms, running.restarts) == ("", None, None, 0)
        assert (ended.name, ended.exit_status, ended.exit_reason, ended.ended_by) == ("ended", 70, "crashed", None)
        with pytest.raises(TakenError, match="by the machine webserver"):
            store.reserve(Reservation("x", "x", (Publish(LOOPBACK, 18080, 80),), "qemu", Accel.TCG, "", 128, 1))
    assert dump(old / "state.db")[0] == f"user_version {SCHEMA_VERSION}"
    with Store(old) as store:
        assert store.list() == (running, ended), "the second time there is nothing to do"


def test_it_ends_as_a_new_file_begins(old: Path, tmp_path: Path) -> None:
    """Both have the same tables, but for the order of what was added."""

    def tables(folder: Path) -> dict[str, set[tuple[object, ...]]]:
        with Store(folder) as store:
            names = [row[0] for row in store._connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
            return {name: {tuple(row)[1:] for row in store._connection.execute(f"PRAGMA table_info({name})")} for name in names}

    assert tables(old) == tables(tmp_path / "new")


def test_a_trouble_in_the_middle_leaves_the_first_version(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = dump(old / "state.db")
    steps = (schema.MIGRATIONS[0], (*schema.MIGRATIONS[1], "INSERT INTO nowhere VALUES (1)"))
    monkeypatch.setattr(schema, "MIGRATIONS", steps)
    with pytest.raises(Exception, match="nowhere"):
        Store(old)
    assert dump(old / "state.db") == before


DIES = """
import os, signal, sys
from pathlib import Path
from squib.store import Store, schema

class Deadly(tuple):
    def __iter__(self):
        yield "PRAGMA cache_size = 1"  # so that pages reach the file before the commit
        yield from list(super().__iter__())
        yield "CREATE TABLE ballast (x)"
        for _ in range(50):
            yield "INSERT INTO ballast VALUES (zeroblob(20000))"
        os.kill(os.getpid(), signal.SIGKILL)

schema.MIGRATIONS = (schema.MIGRATIONS[0], Deadly(schema.MIGRATIONS[1]))
Store(Path(sys.argv[1]))
"""


def test_a_kill_in_the_middle_leaves_the_first_version(old: Path) -> None:
    before, size = dump(old / "state.db"), (old / "state.db").stat().st_size
    done = subprocess.run([sys.executable, "-c", DIES, str(old)], timeout=60, check=False)
    assert done.returncode == -9
    assert (old / "state.db").stat().st_size > size, "it was in the middle"
    assert (old / "state.db-journal").exists()
    assert dump(old / "state.db") == before
    with Store(old) as store:
        assert len(store.list()) == 2


def test_two_that_migrate_at_once(old: Path) -> None:
    line = [
        sys.executable,
        "-c",
        "import sys; from pathlib import Path; from squib.store import Store; print(len(Store(Path(sys.argv[1])).list()))",
    ]
    both = [subprocess.Popen([*line, str(old)], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [one.communicate(timeout=60)[0].strip() for one in both] == ["2", "2"]


def test_a_squib_of_the_first_version_goes_on_writing(old: Path) -> None:
    """It was started before the migration, and has its own statements."""
    with closing(sqlite3.connect(old / "state.db", isolation_level=None)) as earlier:
        Store(old).close()
        earlier.execute(
            "INSERT INTO machines (id, name, state, created_ms, boot_id, owner_pid, owner_start, vmm, accel, appliance,"
            " image_digest, mem_size_mib, vcpu_count) VALUES ('a', 'late', 'starting', 1, 'b', 1, 1, 'qemu', 'tcg', 'w', '', 64, 1)"
        )
        with Store(old) as store:
            assert (store.get("late").run_spec, store.get("late").restarts) == ("", 0)
