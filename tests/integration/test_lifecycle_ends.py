"""Stop, wait and remove on a fake VMM, and what happens when two do it at once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from lifecycle import World, at_once, kill, wish_for
from silent_events import SilentEvents
from squib.app.running import Running
from squib.errors import GuestError, MissingError, TakenError
from squib.host.process import myself
from squib.model.machine import EndedBy, MachineConfig, VmState
from squib.model.run import RunSpec
from squib.store import Machine, Store
from tiny_guest import Behaviour, FakeVm
from waiting import until


def test_two_stops_at_once(world: World) -> None:
    world.detach()
    results = at_once(world, *[lambda running: running.ending.stop("clock", 20)] * 3)
    assert [
        (one.state, one.exit_status, one.exit_reason, one.ended_by) if isinstance(one, Machine) else one for one in results
    ] == [(VmState.EXITED, 0, "stopped", EndedBy.STOP)] * 3
    assert world.store.get("clock").state is VmState.EXITED


def test_a_stop_of_a_machine_that_is_being_started(world: World) -> None:
    """It is waited for until it has a process; then it is stopped, and whoever starts it learns that."""
    world.vmm.behaviour = Behaviour.NEVER_READY
    gate, launch = threading.Event(), world.vmm.launch

    def slow(config: MachineConfig, run_dir: Path) -> FakeVm:
        assert gate.wait(20)
        return launch(config, run_dir)

    world.vmm.launch = slow  # type: ignore[method-assign]  # a launch that takes its time

    def start(running: Running) -> Machine:
        with running.started(world.artifact, RunSpec(), SilentEvents()) as session:
            return session.machine

    def stop(running: Running) -> Machine:
        until(running.store.list)
        assert running.store.get("clock").process is None
        with pytest.raises(TakenError, match="still being started"):
            running.ending.stop("clock", 0.1)
        threading.Timer(0.2, gate.set).start()
        return running.ending.stop("clock", 5)

    started, stopped = at_once(world, start, stop)
    assert isinstance(started, GuestError)
    assert isinstance(stopped, Machine), stopped
    assert stopped.over
    assert world.store.list() == ()
    assert not stopped.run_dir.exists()


def test_a_machine_that_gets_ready_while_it_is_stopped_is_stopping(world: World) -> None:
    machine = world.store.reserve(wish_for(world))
    world.store.started(machine.id, myself())
    world.store.stopping(machine.id)
    world.store.ready(machine.id, 5)
    assert world.store.get("clock").state is VmState.STOPPING


def test_rm_during_a_stop(world: World) -> None:
    world.vmm.behaviour = Behaviour.STUBBORN
    machine = world.detach()
    world.store.stopping(machine.id)
    with pytest.raises(TakenError, match="is stopping") as caught:
        world.running().ending.remove("clock")
    assert "--force" in caught.value.hint

    def force(running: Running) -> Machine:
        until(lambda: running.store.get("clock").state is VmState.STOPPING)
        return running.ending.remove("clock", force=True)

    stopped, removed = at_once(world, lambda running: running.ending.stop("clock", 60), force)
    assert isinstance(stopped, Machine), stopped
    assert isinstance(removed, Machine), removed
    assert stopped.over
    assert removed.over
    assert world.store.list() == ()
    assert not machine.run_dir.exists()


def test_a_name_that_is_used_again_at_once(world: World) -> None:
    """What is known of the old machine touches the new one in nothing."""
    for _ in range(3):
        old = world.detach(RunSpec(name="again"))
        world.stop("again")
        world.running().ending.remove("again")
        new = world.detach(RunSpec(name="again"))
        assert new.id != old.id
        world.store.exited(old.id, 70, "late news", process=old.process)
        world.store.remove(old.id)
        assert world.store.get("again") == new
        assert world.running().ending.remove("again", force=True).ended_by is not None
        assert not new.run_dir.exists()


def test_late_news_of_a_machine_that_was_started_again(world: World) -> None:
    before = world.detach()
    world.restart("clock")
    world.store.exited(before.id, 70, "late news", process=before.process)
    assert world.store.get("clock").state is VmState.RUNNING
    world.stop("clock")


def test_stop_of_a_machine_in_the_foreground(world: World) -> None:
    with world.running().started(world.artifact, RunSpec(), SilentEvents()) as session:
        with Store(world.store.folder) as store:
            stopped = world.running(store).ending.stop("clock", 20)
        assert (stopped.state, stopped.exit_status, stopped.exit_reason) == (VmState.EXITED, 0, "stopped")
        assert session.vm.poll() is not None
    assert world.store.list() == ()


def test_rm_force_of_a_machine_in_the_foreground(world: World) -> None:
    with world.running().started(world.artifact, RunSpec(), SilentEvents()) as session:
        with Store(world.store.folder) as store:
            world.running(store).ending.remove("clock", force=True)
        end = session.vm.wait(20)
        assert end is not None
        session.stop(1)
    assert world.store.list() == ()


def test_a_stop_at_its_deadline(world: World) -> None:
    world.vmm.behaviour = Behaviour.STUBBORN
    world.detach()
    stopped = world.running().ending.stop("clock", 0.2)
    assert (stopped.state, stopped.exit_status, stopped.ended_by) == (VmState.FAILED, None, EndedBy.FORCE)
    assert "force" in stopped.exit_reason
    assert world.running().ending.stop("clock", 5) == stopped, "of an ended one: as it was"


def test_wait(world: World) -> None:
    machine = world.detach()
    waiting = world.running().ending.wait("clock", 0.05)
    assert waiting.state is VmState.RUNNING

    def wait(running: Running) -> Machine:
        return running.ending.wait("clock", 60)

    waited, stopped = at_once(world, wait, lambda running: running.ending.stop("clock", 20))
    assert waited == stopped == world.store.get("clock")
    assert world.running().ending.wait("clock", None) == stopped
    assert machine.id == stopped.id


def test_wait_for_one_that_is_removed_or_restarted_meanwhile(world: World) -> None:
    world.detach()
    waited, restarted = at_once(
        world,
        lambda running: running.ending.wait("clock", 60),
        lambda running: running.restart("clock", 20, SilentEvents()),
    )
    assert isinstance(waited, Machine), waited
    assert isinstance(restarted, Machine), restarted
    assert restarted.state is VmState.RUNNING
    assert waited.exit_status == 0 or waited == restarted  # it came after the stop
    waited, removed = at_once(
        world,
        lambda running: running.ending.wait("clock", 1),
        lambda running: running.ending.remove("clock", force=True),
    )
    assert isinstance(removed, Machine), removed
    assert isinstance(waited, MissingError) or (isinstance(waited, Machine) and waited.over)


def test_a_killed_vmm_is_told_from_a_guest_that_ended(world: World) -> None:
    machine = world.detach()
    kill(machine)
    world.running().clean()
    ended = world.store.get("clock")
    assert (ended.state, ended.exit_status, ended.exit_reason, ended.ended_by) == (
        VmState.FAILED,
        None,
        "its VMM was killed",
        EndedBy.VMM,
    )
