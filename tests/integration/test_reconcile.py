"""What crashes leave behind is found and cleaned, and what lives is left alone; many runs at once never collide."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from squib.host import command
from squib.host.process import Handle, ProcessIdentity, adopt, alive, boot_id, myself, working_in
from squib.model.machine import Accel, VmState
from squib.store import Machine, Reservation, Store
from squib.vmm.reconcile import reconcile
from tiny_guest import Behaviour, FakeVmm, config

WISH = Reservation(None, "clock", (), "fake", Accel.TCG, "sha256:aa", 128, 1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "squib") as store:
        yield store


def run(store: Store, tmp_path: Path, behaviour: Behaviour = Behaviour.SERVES) -> tuple[Machine, ProcessIdentity]:
    """A machine as a foreground run has it, by now without a handle to it."""
    machine = store.reserve(WISH)
    with FakeVmm().launch(config(tmp_path, behaviour), machine.run_dir) as vm:
        store.started(machine.id, vm.identity)
        if behaviour is Behaviour.SERVES:
            vm.wait_ready(60)
            store.ready(machine.id)
        return store.get(machine.name), vm.identity


def disown(store: Store, machine: Machine) -> None:
    """As if the squib that owns it were dead: an identity that nobody has."""
    store._connection.execute("UPDATE machines SET owner_start = owner_start + 1 WHERE id = ?", (machine.id,))


def end(identity: ProcessIdentity, number: signal.Signals = signal.SIGKILL) -> None:
    with Handle.open(identity) or pytest.fail("it lives") as process:
        process.signal(number)
        assert process.wait(20)


def test_what_lives_is_left_alone(store: Store, tmp_path: Path) -> None:
    _, one = run(store, tmp_path)
    detached, two = run(store, tmp_path)
    store.detached(detached.id)
    before = store.list()
    assert reconcile(store) == ()
    assert store.list() == before
    assert alive(one)
    assert alive(two)
    end(one)
    end(two)


def test_a_killed_squib(store: Store, tmp_path: Path) -> None:
    machine, vm = run(store, tmp_path)
    disown(store, machine)
    (cleaned,) = reconcile(store)
    assert cleaned.name == "clock"
    assert not alive(vm)
    assert store.list() == ()
    assert not machine.run_dir.exists()
    assert reconcile(store) == ()


def test_a_squib_that_was_killed_before_it_wrote_down_its_vmm(store: Store, tmp_path: Path) -> None:
    machine = store.reserve(WISH)
    with FakeVmm().launch(config(tmp_path, Behaviour.SILENT), machine.run_dir) as vm:
        disown(store, machine)
        reconcile(store)
        assert not alive(vm.identity)
    assert store.list() == ()
    assert not machine.run_dir.exists()


def test_a_squib_that_was_killed_before_it_started_anything(store: Store) -> None:
    disown(store, store.reserve(WISH))
    assert len(reconcile(store)) == 1
    assert store.list() == ()


def test_a_detached_vmm_that_was_killed(store: Store, tmp_path: Path) -> None:
    machine, vm = run(store, tmp_path)
    store.detached(machine.id)
    end(vm)
    assert len(reconcile(store)) == 1
    found = store.get("clock")
    assert (found.state, found.exit_status, found.exit_reason) == (VmState.FAILED, None, "its VMM was killed")
    assert (found.run_dir / "console.log").exists(), "its console stays until squib rm"
    assert reconcile(store) == ()


def test_a_detached_guest_that_ended_by_itself(store: Store, tmp_path: Path) -> None:
    machine, vm = run(store, tmp_path)
    store.detached(machine.id)
    end(vm, signal.SIGINT)
    reconcile(store)
    found = store.get("clock")
    assert (found.state, found.exit_status, found.exit_reason) == (VmState.EXITED, 0, "stopped")


def test_another_boot_of_the_host(store: Store, tmp_path: Path) -> None:
    machine = store.reserve(WISH)
    store.started(machine.id, myself())
    store.detached(machine.id)
    store._connection.execute("UPDATE machines SET boot_id = 'another'")
    reconcile(store)
    assert store.get("clock").state is VmState.FAILED
    assert boot_id() != "another"


def test_a_run_folder_that_nobody_knows(store: Store, tmp_path: Path) -> None:
    folder = store.machines_dir / "stray"
    with FakeVmm().launch(config(tmp_path, Behaviour.SILENT), folder) as vm:
        assert [cleaned.name for cleaned in reconcile(store)] == ["stray"]
        assert not alive(vm.identity)
    assert not folder.exists()
    assert working_in(folder) == ()


def test_a_link_among_the_run_folders_is_not_followed(store: Store, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    store.machines_dir.mkdir(exist_ok=True)
    (store.machines_dir / "old").symlink_to(elsewhere)
    assert [cleaned.name for cleaned in reconcile(store)] == ["old"]
    assert list(store.machines_dir.iterdir()) == []
    assert (elsewhere / "kept").exists()


def test_whoever_looks_around_in_a_run_folder_is_left_in_peace(store: Store, tmp_path: Path) -> None:
    folder = store.machines_dir / "stray"
    folder.mkdir(parents=True)
    with adopt(command.spawn(("sleep", "60"), cwd=folder, stdout=1, stderr=2, new_session=True)) as visitor:
        assert [cleaned.name for cleaned in reconcile(store)] == ["stray"]
        assert not folder.exists()
        assert alive(visitor.identity)
        visitor.kill()


RESERVE = """
import json, sys
from ipaddress import IPv4Address
from pathlib import Path
from squib.model.machine import Accel
from squib.model.run import Publish
from squib.store import Reservation, Store
wish = Reservation(None, "clock", (Publish(IPv4Address("127.0.0.1"), 0, 80),), "fake", Accel.TCG, "sha256:aa", 128, 1)
with Store(Path(sys.argv[1])) as store:
    machines = [store.reserve(wish) for _ in range(4)]
print(json.dumps([[m.id, m.name, m.forwards[0].host_port] for m in machines]))
"""


def test_twelve_processes_at_once_never_collide(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.json" for number in range(12)]
    processes = []
    for file in files:
        with file.open("wb") as out:
            line = (sys.executable, "-c", RESERVE, str(tmp_path / "squib"))
            processes.append(adopt(command.spawn(line, cwd=tmp_path, stdout=out, stderr=2, new_session=False)))
    for process in processes:
        assert process.wait(100)
        assert process.returncode == 0
        process.close()
    found = [row for file in files for row in json.loads(file.read_bytes())]
    ids, names, host_ports = (list(column) for column in zip(*found, strict=True))
    assert len(found) == len(set(ids)) == len(set(host_ports)) == 48
    assert sorted(names) == sorted(["clock", *(f"clock-{number}" for number in range(2, 49))])
    with Store(tmp_path / "squib") as store:
        assert len(store.list()) == 48
        assert len(reconcile(store)) == 48, "their squibs are gone"
        assert store.list() == ()
