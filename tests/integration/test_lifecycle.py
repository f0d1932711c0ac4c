"""The life of machines by the use cases, on a fake VMM: restart, stop, wait, remove, and what happens when two do it at once."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from squib.app.events import SilentEvents
from squib.app.inspecting import ImageState, inspect, observe
from squib.app.running import Running, _Prepared, _reservation
from squib.errors import ApplianceError, GuestError, MissingError, PermissionDeniedError, SquibError, StorageError, TakenError
from squib.formats.console_lines import ABI
from squib.host import ports
from squib.host.process import ProcessIdentity, alive, boot_id, myself, working_in
from squib.model.appliance import Appliance
from squib.model.image import Artifact, FileRecord, KernelRecord, Manifest
from squib.model.machine import Accel, AccelChoice, EndedBy, MachineConfig, VmState
from squib.model.run import LOOPBACK, Publish, RunSpec
from squib.store import Machine, Reservation, Store
from squib.vmm.reconcile import reconcile
from squib.vmm.run_dir import clear_run_dir
from squib.wire import manifest
from tiny_guest import Behaviour, FakeVm, FakeVmm

REASON = "emulation (TCG), because this is a test"


class Obedient(FakeVmm):
    """A fake whose guests behave as `behaviour` says now."""

    behaviour = Behaviour.SERVES

    def launch(self, config: MachineConfig, run_dir: Path) -> FakeVm:
        return super().launch(replace(config, kernel_args=(f"tiny={self.behaviour}",)), run_dir)


@dataclass
class World:
    """A store, the use cases on it, and an artifact to run."""

    store: Store
    vmm: Obedient
    artifact: Artifact

    def running(self, store: Store | None = None) -> Running:
        def choose(wanted: Accel | None, kernel: Path, digest: str) -> AccelChoice:
            return AccelChoice(Accel.TCG, REASON)

        return Running(store or self.store, lambda accel: self.vmm, choose, lambda folder: self.artifact)

    def another(self) -> Running:
        """As another squib has it: with a connection of its own."""
        return self.running(Store(self.store.folder))

    def detach(self, spec: RunSpec | None = None) -> Machine:
        """A machine that serves, detached."""
        running = self.running()
        with running.started(self.artifact, spec or RunSpec(), SilentEvents()) as session:
            session.detach()
        return self.store.get(session.machine.name)

    def stop(self, name: str) -> Machine:
        return self.running().ending.stop(name, 20)

    def restart(self, name: str) -> Machine:
        return self.running().restart(name, 20, SilentEvents())


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    folder = tmp_path / "out"
    folder.mkdir()
    files = tuple(FileRecord(name, 1, "0" * 64) for name in ("initrd.img", "rootfs.ext4", "vmlinux"))
    description = Manifest("0", 1, Appliance("clock", "a:b", folder), KernelRecord("6", "test", 1), files, ())
    (folder / "manifest.json").write_bytes(manifest.encode(description))
    with Store(tmp_path / "squib") as store:
        yield World(store, Obedient(), Artifact(folder, description))
        for machine in store.list():
            for identity in working_in(machine.run_dir):
                os.kill(identity.pid, signal.SIGKILL)


def kill(machine: Machine) -> None:
    assert machine.process is not None
    with FakeVmm().attach(machine.process, machine.run_dir) or pytest.fail("it lives") as vm:
        os.kill(vm.identity.pid, signal.SIGKILL)
        assert vm.wait(20) is not None


# restart


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
        (Behaviour.PANICS, EndedBy.GUEST, "kernel panic: Attempted"),
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


def test_restart_of_a_machine_in_the_foreground_is_refused(world: World) -> None:
    with world.running().started(world.artifact, RunSpec(), SilentEvents()) as session:
        with pytest.raises(TakenError, match=f"squib process {os.getpid()}"):
            world.another().restart("clock", 20, SilentEvents())
        assert session.vm.poll() is None


def test_a_restart_whose_squib_was_killed_can_be_restarted(world: World) -> None:
    """As it is when that squib has launched the VMM and not yet written down which it is."""
    before = world.detach()
    world.stop("clock")
    wish = replace(_wish(world), publish=tuple(Publish(f.host_address, f.host_port, f.guest_port) for f in before.forwards))
    machine = world.store.revive(before.id, wish)
    clear_run_dir(machine.run_dir)
    with world.vmm.launch(MachineConfig("x", Path(), None, (), 1, 1, (), None), machine.run_dir) as vm:  # type: ignore[arg-type]  # the fake uses no network
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

    with pytest.raises(SquibError), world.running().started(world.artifact, RunSpec(), Overtaken()):
        pytest.fail("it was stopped")
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


# stop, wait and remove, two at once


def _wish(world: World) -> Reservation:
    return _reservation(
        _Prepared(
            world.artifact,
            RunSpec(publish=()),
            world.running().plan(world.artifact, RunSpec()),
            AccelChoice(Accel.TCG, REASON),
            world.vmm,
        )
    )


def at_once(world: World, *actions: Callable[[Running], Machine]) -> list[Machine | SquibError]:
    """Each by a squib of its own, all from the same moment on."""
    start = threading.Barrier(len(actions))

    def act(action: Callable[[Running], Machine]) -> Machine | SquibError:
        with Store(world.store.folder) as store:
            start.wait(20)
            try:
                return action(world.running(store))
            except SquibError as error:
                return error

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(act, actions))


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
        while not running.store.list():
            pass
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
    machine = world.store.reserve(_wish(world))
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
        while running.store.get("clock").state is not VmState.STOPPING:
            pass
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


# the host


def test_a_host_that_was_restarted(world: World) -> None:
    """Rows of another boot whose pids look alive: a detached machine is marked, a foreground one goes, and all ports are free."""
    detached = world.detach(RunSpec(name="kept"))
    kill(detached)
    with world.running().started(world.artifact, RunSpec(name="gone"), SilentEvents()) as session:
        foreground = session.machine
        # pid 1 lives on every boot, and so may any start time.
        one = ProcessIdentity(1, 0, boot_id())
        world.store._connection.execute(
            "UPDATE machines SET boot_id = 'an earlier boot', pid = 1, pid_start = ?, owner_pid = owner_pid * 0 + 1",
            (one.start_time,),
        )
        assert {cleaned.name for cleaned in reconcile(world.store)} == {"kept", "gone"}
        session.vm.kill()
    (kept,) = world.store.list()
    assert (kept.name, kept.state, kept.exit_reason, kept.ended_by) == (
        "kept",
        VmState.FAILED,
        "the host was restarted",
        EndedBy.HOST,
    )
    assert kept.forwards == ()
    assert (kept.run_dir / "console.log").exists(), "for squib logs"
    assert not foreground.run_dir.exists()
    ports.check(LOOPBACK, detached.forwards[0].host_port)
    again = world.restart("kept")
    assert (again.boot_id, again.forwards) == (boot_id(), detached.forwards)
    world.stop("kept")


def test_a_machine_that_had_ended_before_the_host_was_restarted_keeps_its_last_word(world: World) -> None:
    machine = world.detach()
    assert machine.process is not None
    with FakeVmm().attach(machine.process, machine.run_dir) or pytest.fail("it lives") as vm:
        vm.stop(20)
    world.store._connection.execute("UPDATE machines SET boot_id = 'an earlier boot'")
    reconcile(world.store)
    assert (world.store.get("clock").exit_reason, world.store.get("clock").ended_by) == ("stopped", EndedBy.STOP)


def test_a_clock_that_jumps(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uptime is the kernel's, and the order is that of making."""
    monkeypatch.setattr("time.time_ns", lambda: 4_000_000_000 * 10**9)
    world.detach(RunSpec(name="future"))
    monkeypatch.setattr("time.time_ns", lambda: 0)
    world.detach(RunSpec(name="past"))
    assert [machine.name for machine in world.store.list()] == ["future", "past"]
    for name in ("future", "past"):
        uptime = observe(world.store.get(name)).uptime_s
        assert uptime is not None
        assert 0 <= uptime < 300
        world.stop(name)


# inspect


def test_inspect(world: World) -> None:
    machine = world.detach(RunSpec(publish=(Publish(LOOPBACK, 0, 80),)))
    seen = inspect(machine)
    assert seen.observed.readiness.ready
    assert seen.usage is not None
    assert 1 < seen.usage.rss_mib < 200
    assert seen.image.state is ImageState.PRESENT
    assert {file.name for file in seen.image.files} == {"initrd.img", "rootfs.ext4", "vmlinux"}
    assert seen.image.manifest_digest == hashlib.sha256((world.artifact.folder / "manifest.json").read_bytes()).hexdigest()
    assert seen.machine.accel_reason == REASON
    assert machine.boot_ms is not None
    assert machine.ready_ms is not None
    world.stop("clock")
    seen = inspect(world.store.get("clock"))
    assert (seen.observed.readiness.ready, seen.observed.uptime_s, seen.usage) == (False, None, None)


def test_an_image_of_another_squib_is_told(world: World) -> None:
    machine = world.detach()
    data = b'{"squib": "0.0.1"}'
    (world.artifact.folder / "manifest.json").write_bytes(data)
    assert inspect(machine).image.state is ImageState.CHANGED
    image = inspect(replace(machine, manifest_digest=hashlib.sha256(data).hexdigest())).image
    assert (image.state, image.files) == (ImageState.UNREADABLE, ())
    world.stop("clock")


def test_readiness_follows_the_console(world: World) -> None:
    machine = world.detach()
    console = machine.run_dir / "console.log"
    with console.open("ab") as file:
        file.write(b"squib.restart abi=%d attempt=1 delay_ms=100 cause=signal:9\r\n" % ABI)
    assert observe(machine).readiness.because == "its server died (signal:9) and is started again"
    with console.open("ab") as file:
        file.write(b"squib.ready abi=%d uptime_ms=99 listen=tcp:0.0.0.0:80\r\n" % ABI + b"noise\n" * 30_000)
    assert observe(machine).readiness.ready
    world.stop("clock")
