"""The use cases on a fake VMM, for tests of the life of machines: a store, an artifact, and others who do it too."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from silent_events import SilentEvents
from squib.app.running import Running, _Prepared, _reservation
from squib.errors import SquibError
from squib.model.image import Artifact
from squib.model.machine import Accel, MachineConfig, VmmChoice
from squib.model.run import RunSpec
from squib.store import Machine, Reservation, Store
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
        def choose(spec: RunSpec, kernel: Path, digest: str) -> VmmChoice:
            return VmmChoice(Accel.TCG, REASON)

        return Running(store or self.store, lambda *_: self.vmm, choose, lambda folder: self.artifact)

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


def kill(machine: Machine) -> None:
    assert machine.process is not None
    with FakeVmm().attach(machine.process, machine.run_dir) or pytest.fail("it lives") as vm:
        os.kill(vm.identity.pid, signal.SIGKILL)
        assert vm.wait(20) is not None


def wish_for(world: World) -> Reservation:
    return _reservation(
        _Prepared(
            world.artifact,
            RunSpec(publish=()),
            world.running().plan(world.artifact, RunSpec()),
            VmmChoice(Accel.TCG, REASON),
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
