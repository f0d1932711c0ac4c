"""Real Firecracker as a VMM: the seed's own words for its network, what it refuses and how that is told, drives, processors."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab.conftest import GUEST, IP, MAC, Artifacts, ask
from program import Squib
from squib.errors import ApplianceError, HostError, SquibError, TakenError, UnavailableError
from squib.host.process import working_in
from squib.model.machine import Drive, MachineConfig
from squib.model.network import Tap
from squib.vmm.base import VmEnd
from squib.vmm.firecracker.launch import Firecracker
from support import firecracker
from tiny_guest import Behaviour, config, vmlinux

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

READY_S = 240.0
KVM = Path("/dev/kvm")


@pytest.fixture
def run_dir(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "machines/one"
    yield folder
    assert working_in(folder) == ()


def tiny(folder: Path, behaviour: Behaviour = Behaviour.SERVES) -> MachineConfig:
    return replace(config(folder, behaviour, kernel=vmlinux()), interfaces=())


def test_the_clock_with_the_seeds_own_words(squib: Squib, artifacts: Artifacts, tap0: str, logs: Path) -> None:
    """Its tap, hardware address and `ip=`; and what Firecracker leaves in the machine's folder."""
    run = (
        "run",
        str(artifacts["clock"]),
        "--vmm",
        "firecracker",
        "--tap",
        f"{tap0}/{MAC}",
        "--ip",
        IP,
        "--name",
        "seed",
        "--no-jailer",
    )
    assert squib.ok(*run, "--detach", "--quiet", "--timeout", "240", timeout=300) == f"seed http://{GUEST}:80\n"
    assert ask().startswith('{ "time": "20')
    (machine,) = json.loads(squib.ok("inspect", "seed", "--json"))
    assert (machine["vmm"], machine["accel"], machine["urls"]) == ("firecracker", "kvm", [f"http://{GUEST}:80"])
    assert machine["spec"]["ip"] == IP.removeprefix("ip=")
    folder = Path(machine["run_dir"])
    for name in ("console.log", "firecracker.log", "stderr.log"):
        (logs / f"driver-{name}").write_bytes((folder / name).read_bytes())
    assert (folder / "metrics.jsonl").exists()
    assert (folder / "stderr.log").read_bytes() == b""
    assert squib.ok("stop", "seed", "--timeout", "60", timeout=120) == "seed: stopped\n"
    squib.ok("rm", "seed")
    assert list((squib.home / "state/squib/machines").iterdir()) == []


def refused(machine: MachineConfig, run_dir: Path) -> SquibError:
    with pytest.raises(SquibError) as caught:
        Firecracker(firecracker()).launch(machine, run_dir)
    assert not run_dir.exists()
    return caught.value


def test_what_goes_wrong_at_a_start(run_dir: Path, tmp_path: Path, tap0: str) -> None:
    machine = tiny(tmp_path)
    KVM.rename("/dev/kvm.away")
    try:
        error = refused(machine, run_dir)
        assert (type(error), str(error)) == (UnavailableError, "Firecracker needs KVM: there is no /dev/kvm")
    finally:
        Path("/dev/kvm.away").rename(KVM)
    text = tmp_path / "text"
    text.write_text("no kernel")
    assert isinstance(refused(replace(machine, kernel=text), run_dir), ApplianceError)
    tapped = replace(machine, interfaces=(Tap("eth0", tap0, MAC),))
    with Firecracker(firecracker()).launch(tapped, run_dir.with_name("other")) as vm:
        error = refused(tapped, run_dir)
        assert isinstance(error, TakenError), error
        assert "in use by another" in str(error)
        vm.kill()
    subprocess.run(["ip", "link", "set", tap0, "down"], check=True)
    error = refused(tapped, run_dir)
    assert (type(error), error.hint) == (HostError, "sudo ip link set tap0 up")


def test_an_id_that_firecracker_takes_from_a_file_only(run_dir: Path, tmp_path: Path) -> None:
    """docs/decisions/0040-ids-from-a-configuration-file.md."""
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(4096))
    with Firecracker(firecracker()).launch(replace(tiny(tmp_path), drives=(Drive("my-volume.img", disk),)), run_dir) as vm:
        vm.wait_ready(READY_S)
        assert vm.stop(60) == VmEnd(0, "stopped")


def test_drives_that_are_written_and_two_processors(run_dir: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    machine = replace(tiny(tmp_path), vcpu_count=2, drives=(Drive("data", disk, read_only=False),))
    with Firecracker(firecracker()).launch(machine, run_dir) as vm:
        vm.wait_ready(READY_S)
        assert vm.stop(60) == VmEnd(0, "stopped")
