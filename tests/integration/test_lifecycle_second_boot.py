"""A boot that died before its init said a word is tried once more, and told."""

from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle import Obedient, World
from silent_events import SilentEvents
from squib.errors import GuestError, SquibError
from squib.host.process import working_in
from squib.model.machine import MachineConfig
from squib.model.run import RunSpec
from tiny_guest import Behaviour, FakeVm


class Unsteady(Obedient):
    """Behaves in each boot as `behaviours` says."""

    def __init__(self, *behaviours: Behaviour) -> None:
        self.left = list(behaviours)

    def launch(self, config: MachineConfig, run_dir: Path) -> FakeVm:
        self.behaviour = self.left.pop(0)
        return super().launch(config, run_dir)


class Told(SilentEvents):
    def __init__(self) -> None:
        self.errors: list[str] = []
        self.waits = 0

    def boots_again(self, error: GuestError) -> None:
        self.errors.append(str(error))

    def waited(self) -> None:
        self.waits += 1


def test_a_death_of_the_kernel_is_told_and_the_second_boot_serves(world: World) -> None:
    world.vmm = Unsteady(Behaviour.DIES_EARLY, Behaviour.SERVES)
    told = Told()
    with world.running().started(world.artifact, RunSpec(ready_timeout_s=20.0), told) as session:
        assert told.errors == [
            "the guest's kernel panicked: \"IO-APIC + timer doesn't work!  Boot with apic=debug\"",
        ]
        (machine,) = world.store.list()
        assert machine.process == session.vm.identity
        session.stop(20)
    assert told.waits == 1
    assert world.store.list() == ()
    assert working_in(machine.run_dir) == ()


def test_a_second_death_is_the_end(world: World) -> None:
    world.vmm = Unsteady(Behaviour.DIES_EARLY, Behaviour.DIES_EARLY, Behaviour.SERVES)
    told = Told()
    with (
        pytest.raises(GuestError, match="IO-APIC"),
        world.running().started(world.artifact, RunSpec(ready_timeout_s=20.0), told),
    ):
        pytest.fail("it serves")
    assert len(told.errors) == 1
    assert world.vmm.left == [Behaviour.SERVES]
    assert world.store.list() == ()


@pytest.mark.parametrize(
    "behaviour", [Behaviour.PANICS, Behaviour.VANISHES, Behaviour.USAGE, Behaviour.FAILED, Behaviour.NEVER_READY]
)
def test_what_another_boot_would_only_repeat_is_not_tried_again(world: World, behaviour: Behaviour) -> None:
    """Init spoke, or the kernel never did: that is one for another machine, or damaged."""
    world.vmm = Unsteady(behaviour, Behaviour.SERVES)
    told = Told()
    with pytest.raises(SquibError), world.running().started(world.artifact, RunSpec(ready_timeout_s=2.0), told):
        pytest.fail("it serves")
    assert told.errors == []
    assert world.vmm.left == [Behaviour.SERVES]


def test_a_restart_too_is_tried_once_more(world: World) -> None:
    world.detach()
    world.vmm = Unsteady(Behaviour.DIES_EARLY, Behaviour.SERVES)
    machine = world.restart("clock")
    assert machine.restarts == 1
    world.stop("clock")
