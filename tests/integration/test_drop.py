"""A drop: what is in it, that it is whole or not there, and that its machine needs nothing from elsewhere. The lab boots it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from squib.app.building import Building
from squib.app.dropping import Dropping
from squib.build.kernels import Kernel
from squib.errors import StorageError, UnavailableError
from squib.host.appliances import find_appliance
from squib.model.drop import Drop, DropNetwork
from squib.model.image import FileRecord, KernelRecord
from squib.model.network import parse_guest_ip
from squib.model.progress import Progress, silent
from squib.wire.firecracker import vm_json
from support import golden, static_program

FILES = ["firecracker", "initrd.img", "rootfs.ext4", "run.sh", "vm.json", "vmlinux.bin"]


@dataclass
class StandIn:
    """A kernel source whose kernel is a few bytes."""

    path: Path

    def obtain(self, progress: Progress) -> Kernel:
        self.path.write_bytes(b"kernel")
        record = FileRecord("vmlinux", 6, hashlib.sha256(b"kernel").hexdigest())
        return Kernel(self.path, record, KernelRecord("6.1", "a stand-in", 64), (), ())


SEEDS = DropNetwork()


@dataclass
class House:
    """Drops the clock, with a small program for Firecracker."""

    folder: Path
    program: Path

    def drop(self, network: DropNetwork = SEEDS) -> Drop:
        building = Building(StandIn(self.folder / "kernel"), self.folder / "cache")
        dropper = Dropping(building, lambda: self.program)
        return dropper.drop(find_appliance("clock", self.folder), self.folder / "a/drop", network, silent)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, static_program(tmp_path / "static"))


@pytest.mark.tool
def test_all_files_with_their_digests_and_nothing_else(house: House, update_golden: bool) -> None:
    drop = house.drop()
    assert sorted(path.name for path in drop.folder.iterdir()) == [file.name for file in drop.files] == FILES
    for file in drop.files:
        data = (drop.folder / file.name).read_bytes()
        assert (file.size, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert (drop.folder / "firecracker").read_bytes() == house.program.read_bytes()
    assert {name: (drop.folder / name).stat().st_mode & 0o777 for name in FILES} == {
        name: 0o755 if name in {"firecracker", "run.sh"} else 0o644 for name in FILES
    }
    golden("drop-vm.json", (drop.folder / "vm.json").read_text(), update=update_golden)
    golden("drop-run.sh", (drop.folder / "run.sh").read_text(), update=update_golden)


@pytest.mark.tool
def test_its_machine_is_one_that_squib_reads_and_its_paths_lie_beside_it(house: House) -> None:
    folder = house.drop(DropNetwork("tap7", "02:00:00:00:00:07", parse_guest_ip("10.9.8.7/28,10.9.8.1"))).folder
    machine = vm_json.decode((folder / "vm.json").read_text(), folder / "vm.json")
    paths = [machine.boot_source.kernel_image_path, machine.boot_source.initrd_path, machine.drives[0].path_on_host]
    assert all(path and "/" not in path and (folder / path).is_file() for path in paths)
    assert machine.network_interfaces[0].host_dev_name == "tap7"
    assert machine.network_interfaces[0].guest_mac == "02:00:00:00:00:07"
    assert machine.boot_source.boot_args is not None
    assert "ip=10.9.8.7::10.9.8.1:255.255.255.240:clock:eth0:off:::" in machine.boot_source.boot_args
    assert machine.metrics is None


@pytest.mark.tool
def test_run_sh_works_from_anywhere_and_hands_on_what_it_is_given(house: House, tmp_path: Path) -> None:
    folder = house.drop().folder
    (folder / "firecracker").write_text('#!/bin/sh\necho "$PWD" "$@"\n')
    done = subprocess.run([folder / "run.sh", "--id", "a b"], cwd="/", capture_output=True, text=True, check=True)
    assert done.stdout == f"{folder} --no-api --config-file vm.json --id a b\n"
    assert len((folder / "run.sh").read_text().splitlines()) == 3
    decoy = tmp_path / "decoy" / folder.name
    decoy.mkdir(parents=True)
    environment = os.environ | {"CDPATH": str(decoy.parent)}  # a relative path is sought there first (POSIX, cd)
    line = ["sh", f"{folder.name}/run.sh"]
    done = subprocess.run(line, cwd=folder.parent, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{folder} --no-api --config-file vm.json\n"


@pytest.mark.tool
def test_a_second_drop_takes_the_place_of_the_first_and_leaves_other_files(house: House) -> None:
    first = house.drop()
    (first.folder / "notes").write_text("mine")
    (first.folder / "rootfs.ext4").write_text("old")
    second = house.drop(DropNetwork("tap1"))
    assert sorted(path.name for path in second.folder.iterdir()) == sorted([*FILES, "notes"])
    assert json.loads((second.folder / "vm.json").read_bytes())["network-interfaces"][0]["host_dev_name"] == "tap1"
    assert [file.sha256 for file in second.files if file.name == "rootfs.ext4"] == [
        file.sha256 for file in first.files if file.name == "rootfs.ext4"
    ]


@pytest.mark.tool
def test_a_drop_that_fails_leaves_the_folder_as_it_was(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(vm_json, "encode", full)
    with pytest.raises(StorageError, match="no space left"):
        house.drop()
    assert not (house.folder / "a").exists()
    monkeypatch.undo()
    before = {path.name: path.read_bytes() for path in house.drop().folder.iterdir()}
    monkeypatch.setattr(vm_json, "encode", full)
    with pytest.raises(StorageError):
        house.drop()
    assert {path.name: path.read_bytes() for path in (house.folder / "a/drop").iterdir()} == before


@pytest.mark.tool
def test_what_another_host_cannot_run_is_not_given_away(house: House, tmp_path: Path) -> None:
    house.program = Path("/bin/sh").resolve()
    with pytest.raises(UnavailableError, match="needs shared libraries") as caught:
        house.drop()
    assert "squib fetch firecracker" in caught.value.hint
    house.program = tmp_path / "text"
    house.program.write_text("no program")
    with pytest.raises(UnavailableError, match="no program"):
        house.drop()
    assert not (house.folder / "a").exists()
