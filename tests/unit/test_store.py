"""The state store: names, ports, the life of a machine, and every way its file can be bad."""

from __future__ import annotations

import contextlib
import errno
import socket
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from squib.errors import MissingError, PermissionDeniedError, SquibError, StorageError, TakenError
from squib.host import ports
from squib.host.process import ProcessIdentity, boot_id, myself
from squib.model.machine import Accel, PortForward, VmState
from squib.model.run import LOOPBACK, Publish
from squib.store import SCHEMA_VERSION, Reservation, Store, database, leases

WISH = Reservation(
    name=None,
    base_name="clock",
    publish=(),
    vmm="qemu",
    accel=Accel.TCG,
    image_digest="sha256:aa",
    mem_size_mib=128,
    vcpu_count=1,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "squib") as store:
        yield store


def test_the_life_of_a_machine(store: Store) -> None:
    port = ports.choose(LOOPBACK)
    machine = store.reserve(replace(WISH, publish=(Publish(LOOPBACK, port, 80),)))
    assert (machine.name, machine.state, machine.owner, machine.process) == ("clock", VmState.STARTING, myself(), None)
    assert machine.forwards == (PortForward(LOOPBACK, port, 80),)
    assert machine.run_dir == store.folder / "machines" / machine.id
    process = ProcessIdentity(4, 5, boot_id())
    store.started(machine.id, process)
    store.ready(machine.id)
    store.detached(machine.id)
    running = store.get("clock")
    assert running == replace(machine, state=VmState.RUNNING, owner=None, process=process, ready_ms=running.ready_ms)
    assert not store.get("clock").over
    store.stopping(machine.id)
    assert store.get("clock").state is VmState.STOPPING
    store.exited(machine.id, 0, "stopped")
    ended = store.get("clock")
    assert (ended.state, ended.exit_status, ended.exit_reason, ended.forwards) == (VmState.EXITED, 0, "stopped", ())
    assert ended.over
    store.remove(machine.id)
    store.remove(machine.id)
    assert store.list() == ()


@pytest.mark.parametrize("status", [None, 70])
def test_an_end_that_is_a_failure(store: Store, status: int | None) -> None:
    machine = store.reserve(WISH)
    store.exited(machine.id, status, "why")
    assert store.get("clock").state is VmState.FAILED


def test_names(store: Store) -> None:
    assert [store.reserve(WISH).name for _ in range(3)] == ["clock", "clock-2", "clock-3"]
    store.remove(store.get("clock-2").id)
    assert store.reserve(WISH).name == "clock-2"
    assert store.reserve(replace(WISH, name="mine")).name == "mine"
    with pytest.raises(TakenError, match=r"a machine mine already \(clock, starting\)") as caught:
        store.reserve(replace(WISH, name="mine"))
    assert "squib rm --force mine" in caught.value.hint
    store.exited(store.get("mine").id, 0, "stopped")
    with pytest.raises(TakenError, match=r"a machine mine already \(clock, exited\)") as caught:
        store.reserve(replace(WISH, name="mine"))
    assert "squib rm mine" in caught.value.hint
    assert {machine.name for machine in store.list()} == {"clock", "clock-2", "clock-3", "mine"}
    with pytest.raises(MissingError, match="no machine nobody"):
        store.get("nobody")


def test_who_asks_for_one_that_is_not_there_hears_which_are(store: Store) -> None:
    def told(name: str) -> str:
        with pytest.raises(MissingError) as caught:
            store.get(name)
        return str(caught.value)

    def hint(name: str) -> str:
        with pytest.raises(MissingError, match=f"there is no machine {name}") as caught:
            store.get(name)
        return caught.value.hint

    assert hint("clock") == "there are no machines now; squib run APPLIANCE starts one"
    store.reserve(replace(WISH, name="webserver"))
    assert hint("clock") == "there is webserver: squib ps"
    assert told("webservr") == "there is no machine webservr; did you mean webserver?"
    assert hint("webservr") == "squib ps lists all"
    for name in ("a1", "b2", "c3", "d4", "e5"):
        store.reserve(replace(WISH, name=name))
    assert hint("zzzz") == "there are webserver, a1, b2, c3, d4 …: squib ps"


def test_a_machine_that_was_removed_meanwhile(store: Store) -> None:
    machine = store.reserve(WISH)
    store.remove(machine.id)
    with pytest.raises(MissingError, match="ended or removed meanwhile"):
        store.ready(machine.id)


def test_only_its_owner_says_how_it_starts(store: Store) -> None:
    machine = store.reserve(WISH)
    store._connection.execute("UPDATE machines SET owner_start = owner_start + 1")
    before = store.get("clock")
    changes: list[Callable[[], None]] = [
        lambda: store.started(machine.id, myself()),
        lambda: store.ready(machine.id),
        lambda: store.detached(machine.id),
    ]
    for change in changes:
        with pytest.raises(MissingError, match="by another command"):
            change()
    assert store.get("clock") == before


def test_a_stop_of_what_it_was_before(store: Store) -> None:
    machine = store.reserve(WISH)
    store.started(machine.id, ProcessIdentity(4, 5, boot_id()))
    store.stopping(machine.id, ProcessIdentity(4, 6, boot_id()))
    assert store.get("clock").state is VmState.STARTING
    store.stopping(machine.id, ProcessIdentity(4, 5, boot_id()))
    assert store.get("clock").state is VmState.STOPPING
    store.exited(machine.id, 0, "stopped")
    store.stopping(machine.id)
    store.stopping("nobody")
    assert store.get("clock").state is VmState.EXITED


@pytest.mark.parametrize(("first", "second"), [("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "0.0.0.0"), ("0.0.0.0", "127.0.0.1")])
def test_a_port_that_another_machine_has(store: Store, first: str, second: str) -> None:
    port = ports.choose(ip_address("0.0.0.0"))
    store.reserve(replace(WISH, publish=(Publish(ip_address(first), port, 80),)))
    with pytest.raises(TakenError, match=f"{second}:{port} is in use by the machine clock") as caught:
        store.reserve(replace(WISH, publish=(Publish(ip_address(second), port, 80),)))
    assert "squib stop clock" in caught.value.hint
    assert len(store.list()) == 1, "a refused reservation leaves nothing"
    store.exited(store.get("clock").id, 0, "stopped")
    assert store.reserve(replace(WISH, publish=(Publish(ip_address(second), port, 80),))).forwards


def test_a_port_that_another_program_has(store: Store) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder, pytest.raises(TakenError, match="by another program"):
        store.reserve(replace(WISH, publish=(Publish(LOOPBACK, holder.getsockname()[1], 80),)))
    assert store.list() == ()


def test_any_port(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    wish = replace(WISH, publish=(Publish(LOOPBACK, 0, 80), Publish(LOOPBACK, 0, 81)))
    monkeypatch.setattr(leases, "_HTTP_HOST_PORT", ports.choose(LOOPBACK))
    taken = [forward.host_port for _ in range(5) for forward in store.reserve(wish).forwards]
    assert taken[0] == leases._HTTP_HOST_PORT
    assert len(set(taken)) == 10
    assert 0 not in taken


def test_any_port_is_the_guests_own_first(store: Store) -> None:
    port = ports.choose(LOOPBACK)
    wish = replace(WISH, publish=(Publish(LOOPBACK, 0, port),))
    first, second = (store.reserve(wish).forwards[0].host_port for _ in range(2))
    assert (first, second != port) == (port, True)
    privileged = replace(WISH, publish=(Publish(LOOPBACK, 0, 443),))
    assert store.reserve(privileged).forwards[0].host_port >= 1024, "also root leaves the well-known ports alone"


class Interrupted:
    """A connection whose first BEGIN is interrupted, as by Ctrl-C: SQLite has the lock by then (Python raises after the call)."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._done = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

    def execute(self, statement: str, *values: object) -> object:
        cursor = self._connection.execute(statement, *values)  # type: ignore[arg-type]
        if statement.startswith("BEGIN") and not self._done:
            self._done = True
            raise KeyboardInterrupt
        return cursor


def test_an_interrupt_while_it_waits_leaves_no_lock(store: Store, tmp_path: Path) -> None:
    database = store._database
    database.connection = Interrupted(database.connection)  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt), store.transaction():
        pytest.fail("it is not entered")
    assert not database.connection.in_transaction
    store.reserve(WISH)
    with Store(store.folder, busy_s=0.1) as other:
        assert [machine.name for machine in other.list()] == ["clock"], "the lock was given back, and the change is there"


def test_reading_waits_for_no_change_that_is_being_prepared(store: Store) -> None:
    machine = store.reserve(WISH)
    with Store(store.folder, busy_s=0.01) as other, store.transaction():
        store.stopping(machine.id)
        for _ in range(3):
            assert [one.state for one in other.list()] == [VmState.STARTING], "what is not committed is not seen"
            assert other.get("clock") == other.find(machine.id) == machine
            assert (other.network_leases(), other.jail_leases()) == ((), {})
            Store(store.folder, busy_s=0.01).close()


def test_however_many_read_a_change_has_its_turn(store: Store) -> None:
    """Each read begins before the last one has ended, so the file is never without a reader."""
    over = threading.Event()
    inside = threading.Barrier(2)

    def read() -> None:
        with Store(store.folder, busy_s=60) as other:
            while not over.is_set():
                with other._database.reading():
                    other.list()
                    with contextlib.suppress(threading.BrokenBarrierError):
                        inside.wait(0.05)

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(4)]
        try:
            for _ in range(20):
                store.reserve(WISH)
        finally:
            over.set()
        for reader in readers:
            reader.result(60)
    assert len(store.list()) == 20


WRONG = {
    "id": "../../../etc",
    "name": "\x1b]0;evil\x07",
    "state": "sleeping",
    "owner_pid": -1,
    "pid": 1 << 40,
    "accel": "magic",
    "artifact": "a\0b",
    "ended_by": "nobody",
    "endpoints": "1.2.3.4:http",
    "vcpu_count": -1,
}


@pytest.mark.parametrize("column", WRONG)
def test_a_row_that_squib_did_not_write(store: Store, column: str) -> None:
    store.reserve(WISH)
    store._connection.execute(f"UPDATE machines SET {column} = ?", (WRONG[column],))
    with pytest.raises(StorageError, match="is damaged: what it says of the machine '") as caught:
        store.list()
    assert "mv " in caught.value.hint
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(("column", "value"), [("host_address", "nowhere"), ("host_port", 70000), ("guest_port", 0)])
def test_a_port_that_squib_did_not_write(store: Store, column: str, value: object) -> None:
    store.reserve(replace(WISH, publish=(Publish(LOOPBACK, 0, 80),)))
    store._connection.execute(f"UPDATE publications SET {column} = ?", (value,))
    with pytest.raises(StorageError, match="is damaged"):
        store.get("clock")


def test_a_file_with_other_columns(store: Store) -> None:
    store.reserve(WISH)
    store._connection.execute("ALTER TABLE publications RENAME COLUMN guest_port TO x")
    with pytest.raises(SquibError, match="no such column"):
        store.list()


def test_only_the_owner_may_read(store: Store) -> None:
    store.reserve(WISH)
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in store.folder.iterdir()} == {0o600}


def test_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(StorageError, match="is damaged") as caught:
        Store(tmp_path)
    assert "mv " in caught.value.hint


def test_a_newer_squib_was_here(tmp_path: Path) -> None:
    Store(tmp_path).close()
    with sqlite3.connect(tmp_path / "state.db") as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(StorageError, match="newer squib"):
        Store(tmp_path)


def test_a_lock_that_is_never_given_back(tmp_path: Path) -> None:
    Store(tmp_path).close()
    holder = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StorageError, match=r"locked by another program for over 0\.05 s") as caught:
        Store(tmp_path, busy_s=0.05)
    assert "fuser -v" in caught.value.hint
    holder.close()


def test_no_space(store: Store) -> None:
    machine = store.reserve(WISH)
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match="no space left"):
        store.exited(machine.id, 1, "x" * 1_000_000)
    assert store.get("clock") == machine, "a change happens whole or not at all"


def test_a_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "read-only", str(tmp_path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StorageError, match="read-only"):
        Store(tmp_path / "squib")


def test_a_file_that_may_not_be_written(tmp_path: Path) -> None:
    Store(tmp_path).close()
    path = tmp_path / "state.db"
    reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    with pytest.raises(sqlite3.OperationalError) as caught:
        reader.execute("CREATE TABLE x (y)")
    reader.close()
    error = database.explain(path, caught.value)
    assert isinstance(error, PermissionDeniedError)
    assert "ls -ld" in error.hint


def test_an_unknown_trouble_is_still_one_of_ours(tmp_path: Path) -> None:
    assert isinstance(database.explain(tmp_path, sqlite3.OperationalError("odd")), SquibError)


def test_closed_by_leaving(tmp_path: Path) -> None:
    with Store(tmp_path):
        pass
    fds = [entry.readlink().name for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    assert "state.db" not in fds
