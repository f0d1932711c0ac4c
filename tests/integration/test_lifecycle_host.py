"""Machines of a host that was restarted or whose clock jumps, on a fake VMM; what is known of machines; twelve at once."""

from __future__ import annotations

import hashlib
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from statistics import median

import pytest

from growth import descriptors, resident_kib
from lifecycle import REASON, World, kill
from silent_events import SilentEvents
from squib.app.inspecting import ImageState, inspect, observe
from squib.formats.console_lines import ABI
from squib.host import ports
from squib.host.process import ProcessIdentity, alive, boot_id
from squib.model.machine import EndedBy, VmState
from squib.model.run import LOOPBACK, Publish, RunSpec
from squib.store import Store
from squib.vmm.reconcile import reconcile
from tiny_guest import FakeVmm


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


# Twelve at once, by one process (twelve real machines of twelve squibs: tests/e2e/test_machine_commands.py)

AT_ONCE, ROUNDS, WARM_ROUNDS = 12, 16, 6
GROWTH_KIB = 1024
"""What the process may grow by in the 108 runs after it is warm: less than a record of each would take.

By the median of the rounds: what leaks does so in each of them, and the allocator takes a few MiB at once in one of them.
"""


def test_twelve_at_once_again_and_again_leave_nothing_and_do_not_grow(world: World) -> None:
    def run(name: str) -> tuple[int, ProcessIdentity]:
        with (
            Store(world.store.folder) as store,
            world.running(store).started(world.artifact, RunSpec(name=name), SilentEvents()) as session,
        ):
            port = session.machine.forwards[0].host_port
            together.wait(60)  # all twelve serve
            assert session.stop(20).status == 0
            return port, session.vm.identity

    names = [f"m{number}" for number in range(AT_ONCE)]
    open_before, resident = descriptors(), []
    for _ in range(ROUNDS):
        together = threading.Barrier(AT_ONCE)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            results = list(pool.map(run, names))
        assert len({port for port, _ in results}) == AT_ONCE
        assert not any(alive(identity) for _, identity in results)
        assert world.store.list() == ()
        assert list(world.store.machines_dir.iterdir()) == []
        resident.append(resident_kib())
    assert descriptors() == open_before
    growth = [after - before for before, after in itertools.pairwise(resident[WARM_ROUNDS:])]
    assert median(growth) * len(growth) < GROWTH_KIB, growth
