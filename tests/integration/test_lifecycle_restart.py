"""Restarts on a fake VMM: as it was, in vain, in the foreground, two at once."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from lifecycle import World, wish_for
from silent_events import SilentEvents
from squib.app.inspecting import ImageState, inspect
from squib.errors import ApplianceError, MissingError, PermissionDeniedError, SquibError, StorageError, TakenError
from squib.host.process import alive, working_in
from squib.model.machine import EndedBy, MachineConfig, VmState
from squib.model.run import Publish, RunSpec
from squib.store import Machine
from squib.vmm.reconcile import reconcile
from squib.vmm.run_dir import clear_run_dir
from tiny_guest import Behaviour


def test_restart_of_one_that_runs(world: World) -> None:
    spec = RunSpec(values=(("port", "81"),), name="mine", mem_size_mib=64, vcpu_count=2)
    before = world.detach(spec)
    (forward,) = before.forwards
    after = world.restart("mine")
    assert after.process != before.process
    assert after.process is not None
    assert alive(after.process)
    assert before.process is not None
    assert not alive(before.process)
    same = replace(
        before, process=after.process, ready_ms=after.ready_ms, boot_ms=after.boot_ms, restarts=1, state=VmState.RUNNING
    )
    assert after == same, "the same host port, too, which was chosen freely"
    assert after.forwards == (forward,)
    assert inspect(after).spec == spec, "what was asked for stays as it was asked"
    assert world.restart("mine").restarts == 2
    assert reconcile(world.store) == ()
    world.stop("mine")


def test_restart_of_one_that_has_ended(world: World) -> None:
    before = world.detach()
    assert world.stop("clock").forwards == ()
    after = world.restart("clock")
    assert (after.state, after.exit_status, after.exit_reason, after.ended_by) == (VmState.RUNNING, None, "", None)
    assert after.ended_ms is None
    assert after.forwards == before.forwards
    world.stop("clock")


def test_restart_where_the_port_was_taken_meanwhile(world: World) -> None:
    machine = world.detach()
    world.stop("clock")
    ended = world.store.get("clock")
    with (
        socket.create_server(("127.0.0.1", machine.forwards[0].host_port)),
        pytest.raises(TakenError, match=f":{machine.forwards[0].host_port} is in use"),
    ):
        world.restart("clock")
    assert world.store.get("clock") == ended, "nothing has changed, and it can be tried again"
    assert world.restart("clock").state is VmState.RUNNING
    world.stop("clock")


@pytest.mark.parametrize("trouble", ["gone", "changed", "unknown", "damaged"])
def test_restart_stops_nothing_that_cannot_start_again(world: World, trouble: str) -> None:
    machine = world.detach()
    path = world.artifact.folder / "manifest.json"
    match trouble:
        case "gone":
            path.unlink()
            world.artifact.folder.rmdir()
        case "changed":
            path.write_bytes(path.read_bytes() + b"\n")
        case "unknown":
            world.store._connection.execute("UPDATE machines SET run_spec = ''")
        case _:
            world.store._connection.execute("UPDATE machines SET run_spec = 'x'")
    with pytest.raises((MissingError, ApplianceError, StorageError)) as caught:
        world.restart("clock")
    assert "squib rm" in caught.value.hint
    assert "squib run it anew" in caught.value.hint
    assert machine.process is not None
    assert alive(machine.process)
    assert world.store.get("clock").state is VmState.RUNNING
    if trouble != "damaged":
        state = {"gone": ImageState.GONE, "changed": ImageState.CHANGED, "unknown": ImageState.PRESENT}[trouble]
        assert inspect(world.store.get("clock")).image.state is state
    world.stop("clock")


@pytest.mark.parametrize(
    ("behaviour", "by", "reason"),
    [
        (Behaviour.CRASHED, EndedBy.SERVER, "crashed"),
        (Behaviour.FAILED, EndedBy.GUEST, "failed"),
        (Behaviour.PANICS, EndedBy.GUEST, 'kernel panic: "Attempted'),
        (Behaviour.NEVER_READY, EndedBy.FORCE, "it did not start again: "),
        (Behaviour.VANISHES, EndedBy.FORCE, "it did not start again: the fake ended"),
    ],
)
def test_a_restart_that_fails_leaves_an_ended_machine(world: World, behaviour: Behaviour, by: EndedBy, reason: str) -> None:
    machine = world.detach(RunSpec(ready_timeout_s=2.0))
    world.vmm.behaviour = behaviour
    with pytest.raises(SquibError):
        world.restart("clock")
    ended = world.store.get("clock")
    assert (ended.state, ended.ended_by, ended.owner, ended.forwards) == (VmState.FAILED, by, None, ())
    assert reason in ended.exit_reason
    assert (ended.run_dir / "console.log").exists()
    assert working_in(ended.run_dir) == ()
    world.vmm.behaviour = Behaviour.SERVES
    assert world.restart("clock").forwards == machine.forwards
    world.stop("clock")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143)])
def test_an_interrupted_restart_is_told_as_that(world: World, error: BaseException) -> None:
    class Interrupted(SilentEvents):
        def waited(self) -> None:
            raise error

    world.detach()
    with pytest.raises(type(error)):
        world.running().restart("clock", 20, Interrupted())
    ended = world.store.get("clock")
    assert (ended.state, ended.exit_reason) == (VmState.FAILED, "it did not start again: interrupted")
    assert working_in(ended.run_dir) == ()


def test_restart_of_a_machine_in_the_foreground_is_refused(world: World) -> None:
    with world.running().started(world.artifact, RunSpec(), SilentEvents()) as session:
        with pytest.raises(TakenError, match=f"squib process {os.getpid()}"):
            world.another().restart("clock", 20, SilentEvents())
        assert session.vm.poll() is None


def test_a_restart_whose_squib_was_killed_can_be_restarted(world: World) -> None:
    """As it is when that squib has launched the VMM and not yet written down which it is."""
    before = world.detach()
    world.stop("clock")
    wish = replace(wish_for(world), publish=tuple(Publish(f.host_address, f.host_port, f.guest_port) for f in before.forwards))
    machine = world.store.revive(before.id, wish)
    clear_run_dir(machine.run_dir)
    with world.vmm.launch(MachineConfig("x", Path(), None, (), 1, 1, (), ()), machine.run_dir) as vm:
        world.store._connection.execute("UPDATE machines SET owner_start = owner_start + 1")
        assert [cleaned.name for cleaned in reconcile(world.store)] == ["clock"]
        assert vm.wait(20) is not None
    ended = world.store.get("clock")
    assert (ended.state, ended.ended_by, ended.forwards) == (VmState.FAILED, EndedBy.FORCE, ())
    assert (ended.run_dir / "console.log").exists()
    assert reconcile(world.store) == ()
    world.restart("clock")
    world.stop("clock")


def test_two_restarts_at_once(world: World) -> None:
    """One wins; the other is told so, or comes second and restarts the new one."""
    world.detach()

    def restart(_: int) -> Machine | SquibError:
        running = world.another()
        try:
            return running.restart("clock", 20, SilentEvents())
        except SquibError as error:
            return error
        finally:
            running.store.close()

    with ThreadPoolExecutor() as pool:
        results = list(pool.map(restart, range(2)))
    assert any(isinstance(result, Machine) for result in results)
    assert all(isinstance(result, Machine | TakenError) for result in results), results
    now = world.store.get("clock")
    assert now.state is VmState.RUNNING
    assert len(working_in(now.run_dir)) == 1
    world.stop("clock")


def test_a_restart_that_was_overtaken_leaves_the_other_alone(world: World) -> None:
    """It fails after its machine was stopped and started again by others: what those started is not touched."""
    world.detach()
    world.vmm.behaviour = Behaviour.NEVER_READY

    class Overtaken(SilentEvents):
        def output(self, data: bytes) -> None:
            world.vmm.behaviour = Behaviour.SERVES
            other = world.another()
            other.ending.stop("clock", 5)
            other.restart("clock", 5, SilentEvents())
            other.store.close()

    with pytest.raises(SquibError):
        world.running().restart("clock", 20, Overtaken())
    now = world.store.get("clock")
    assert (now.state, now.restarts) == (VmState.RUNNING, 2)
    assert now.process is not None
    assert alive(now.process)
    world.stop("clock")


def test_a_run_that_was_overtaken_leaves_the_other_alone(world: World) -> None:
    """The same of a first start."""
    world.vmm.behaviour = Behaviour.NEVER_READY

    class Overtaken(SilentEvents):
        def output(self, data: bytes) -> None:
            world.vmm.behaviour = Behaviour.SERVES
            other = world.another()
            other.ending.stop("clock", 5)
            other.restart("clock", 5, SilentEvents())
            other.store.close()

    with pytest.raises(SquibError) as caught, world.running().started(world.artifact, RunSpec(), Overtaken()):
        pytest.fail("it was stopped")
    assert world.store.list(), caught.value
    now = world.store.get("clock")
    assert (now.state, now.restarts) == (VmState.RUNNING, 1)
    assert now.process is not None
    assert alive(now.process)
    world.stop("clock")


def test_whatever_became_of_the_store_nothing_runs_on(world: World) -> None:
    with pytest.raises(PermissionDeniedError), world.running().started(world.artifact, RunSpec(), SilentEvents()) as session:
        world.store._connection.execute("PRAGMA query_only = 1")  # as a file-system that was mounted read-only meanwhile
    world.store._connection.execute("PRAGMA query_only = 0")
    assert not alive(session.vm.identity)
    assert not session.machine.run_dir.exists()
