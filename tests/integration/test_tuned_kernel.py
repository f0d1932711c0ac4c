"""The tuned kernel in a real, emulated machine as KVM would have it: virtio in memory-mapped slots, no initrd, stopped by its keyboard."""

from __future__ import annotations

import http.client
import re
from pathlib import Path

import pytest

import squib.vmm.qemu.launch as launch_module
from program import free_port
from squib.build.artifact import plan_artifact, write_artifact
from squib.build.kernel_build import FRAGMENT, config_path, fragment
from squib.build.tuned_kernels import find
from squib.formats import kconfig
from squib.host.appliances import find_appliance
from squib.model.image import Artifact
from squib.model.machine import Accel, MachineConfig, PortForward
from squib.model.progress import silent
from squib.model.run import LOOPBACK, RunSpec
from squib.vmm.base import VmEnd
from squib.vmm.plan import machine_config, with_lease
from squib.vmm.qemu.argv import argv
from squib.vmm.qemu.launch import Qemu
from support import tool
from tuned import COMPILE_S, tuned_kernel

pytestmark = [pytest.mark.vm, pytest.mark.timeout(COMPILE_S)]

READY_S = 100


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("tuned")
    return write_artifact(plan_artifact(find_appliance("clock", folder), tuned_kernel(), silent), folder / "out", silent)


def test_its_configuration_has_every_line_of_the_fragment(artifact: Artifact) -> None:
    kept = kconfig.parse(config_path(find("tuned").name).read_text(), ".config")
    assert kconfig.dropped(kconfig.parse(fragment().decode(), FRAGMENT), kept) == ()
    assert artifact.manifest.kernel.release.endswith("-squib")


def test_microvm_boots_it_serves_and_stops(artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of microvm's line but `-accel kvm -cpu host`: emulated, and steady only where the clock counts instructions."""

    def emulated(machine: MachineConfig, accel: Accel, *, program: Path, qmp_fd: int | None = None) -> tuple[str, ...]:
        swap = {"kvm": "tcg", "host": "max"}
        line = argv(machine, accel, program=program, qmp_fd=qmp_fd)
        assert "-initrd" not in line
        return (*(swap.get(part, part) for part in line), "-icount", "shift=1,sleep=off")

    monkeypatch.setattr(launch_module, "argv", emulated)
    port = free_port()
    planned = machine_config(artifact, RunSpec(mem_size_mib=40), "clock")
    machine = with_lease(planned, "clock", (PortForward(LOOPBACK, port, 80),))
    with Qemu(Path(tool("qemu-system-x86_64")), Accel.KVM).launch(machine, tmp_path / "run") as vm:
        try:
            vm.wait_ready(READY_S)
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=READY_S)
            connection.request("GET", "/")
            body = connection.getresponse().read()
            connection.close()
            console = vm.console.read_text(errors="replace")
        finally:
            end = vm.stop(30)
    assert end == VmEnd(0, "stopped")
    assert re.fullmatch(rb'\{ "time": "\d{4}-\d\d-\d\d \d\d:\d\d:\d\d -00:00" \}', body)
    assert "panic" not in console
