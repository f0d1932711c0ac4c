"""The tuned kernel on the machine that squib uses under KVM: its console speaks, so a run learns that the guest is ready.

Emulated, and so by a clock that counts instructions (microvm has no other that keeps up). The kernel takes minutes to compile,
so where nobody has built it this is skipped: `squib kernel build`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from squib.app.building import Building
from squib.build.tuned_kernels import TunedKernel
from squib.errors import MissingError
from squib.host.appliances import find_appliance
from squib.model.machine import Accel, MachineConfig
from squib.model.progress import silent
from squib.model.run import RunSpec
from squib.vmm.plan import machine_config
from squib.vmm.qemu import launch
from squib.vmm.qemu.argv import argv
from support import tool

READY_S = 100.0


@pytest.mark.vm
def test_it_gets_ready_and_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    qemu = Path(tool("qemu-system-x86_64"))
    try:
        TunedKernel().obtain(silent)
    except MissingError as error:
        pytest.skip(f"{error}: {error.hint}")
    artifact = Building(TunedKernel(), tmp_path / "artifacts").build(
        find_appliance("clock", tmp_path), tmp_path / "out", silent
    )

    def emulated(machine: MachineConfig, accel: Accel, *, program: Path, qmp_fd: int | None = None) -> tuple[str, ...]:
        swap = {"kvm": "tcg", "host": "max"}
        line = argv(machine, accel, program=program, qmp_fd=qmp_fd)
        return (*(swap.get(part, part) for part in line), "-icount", "shift=1,sleep=off")

    monkeypatch.setattr(launch, "argv", emulated)
    with launch.Qemu(qemu, Accel.KVM).launch(machine_config(artifact, RunSpec(), "tuned"), tmp_path / "run") as vm:
        try:
            vm.wait_ready(READY_S)
        finally:
            end = vm.stop(20)
    assert (end.status, end.reason) == (0, "stopped")
