"""Ports that are taken between choice and launch, on a fake VMM."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from lifecycle import Obedient, World
from program import free_port
from silent_events import SilentEvents
from squib.errors import TakenError
from squib.model.machine import MachineConfig, UserNetwork
from squib.model.run import LOOPBACK, Publish, RunSpec
from tiny_guest import FakeVm


class Latecomer(Obedient):
    """A fake that finds the ports it was given taken, as QEMU does where somebody listens by then, for the first `times`."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.given: list[int] = []
        self.others: list[socket.socket] = []

    def launch(self, config: MachineConfig, run_dir: Path) -> FakeVm:
        (network,) = config.interfaces
        assert isinstance(network, UserNetwork)
        (forward,) = network.forwards
        self.given.append(forward.host_port)
        if len(self.given) > self.times:
            return super().launch(config, run_dir)
        self.others.append(socket.create_server((str(forward.host_address), forward.host_port)))
        raise TakenError(f"{forward.host_port} was in use when the fake started")


def test_a_freely_chosen_port_that_is_taken_meanwhile_is_chosen_anew(world: World) -> None:
    world.vmm = late = Latecomer(3)
    machine = world.detach()
    assert len(set(late.given)) == 4
    assert [one.host_port for one in machine.forwards] == late.given[-1:]
    for other in late.others:
        other.close()
    world.stop("clock")


@pytest.mark.parametrize("port", [0, 1])
def test_a_port_that_is_always_taken_ends_the_run(world: World, port: int) -> None:
    world.vmm = late = Latecomer(99)
    named = free_port() if port else 0
    wish = RunSpec(publish=(Publish(LOOPBACK, named, 80),))
    with (
        pytest.raises(TakenError, match="in use when the fake started"),
        world.running().started(world.artifact, wish, SilentEvents()),
    ):
        pytest.fail("it started")
    assert len(late.given) == (1 if named else 5)
    for other in late.others:
        other.close()
    assert world.store.list() == ()
    assert world.store._connection.execute("SELECT count(*) FROM port_leases").fetchone()[0] == 0
