"""Machines started and stopped again and again by one process: nothing is left, and it does not grow."""

from __future__ import annotations

from pathlib import Path

import pytest

from growth import descriptors, resident_kib
from program import Squib, free_port
from silent_events import SilentEvents
from squib.app.running import Running
from squib.build.artifact import open_artifact
from squib.model.machine import Accel, VmmChoice
from squib.model.run import LOOPBACK, Publish, RunSpec
from squib.store import Store
from squib.vmm.qemu.launch import Qemu
from tuned import COMPILE_S, tuned_kernel

pytestmark = [pytest.mark.vm, pytest.mark.timeout(600 + COMPILE_S)]

IN_A_ROW = 50
WARM = 5
GROWTH_KIB = 4096
"""What the process may grow by once it is warm: the allocator's whims, and no record of each machine."""


def rows(store: Store) -> list[int]:
    tables = ("machines", "port_leases", "publications")
    return [store._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]


def test_fifty_in_a_row(squib: Squib, qemu: str, tmp_path: Path) -> None:
    """With the kernel that boots soonest. Twelve at once are in test_machine_commands."""
    tuned_kernel()
    squib.ok("build", "clock", "--kernel", "tuned", "-o", "out")
    artifact = open_artifact(tmp_path / "out")
    vmm, choice = Qemu(Path(qemu), Accel.TCG), VmmChoice(Accel.TCG, "because this is a test")
    with Store(tmp_path / "soak") as store:
        running = Running(store, lambda *_: vmm, lambda *_: choice, open_artifact)
        # A port that no other test wants: the clock's first choice is everybody's.
        spec = RunSpec(mem_size_mib=64, publish=(Publish(LOOPBACK, free_port(), 80),))
        open_before, resident = descriptors(), 0
        for number in range(IN_A_ROW):
            if number == WARM:
                resident = resident_kib()
            with running.started(artifact, spec, SilentEvents()) as session:
                assert session.machine.name == "clock", "the name is free again"
                process = session.vm.identity
                assert session.stop(20).status == 0
            assert not Path(f"/proc/{process.pid}").exists()
            assert rows(store) == [0, 0, 0]
            assert list(store.machines_dir.iterdir()) == []
        assert descriptors() == open_before
        assert resident_kib() - resident < GROWTH_KIB
