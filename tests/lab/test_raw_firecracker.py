"""The ground under everything else: Firecracker itself, with nothing of squib but the artifact, boots the clock on the seed's network."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from lab.conftest import IP, MAC, Artifacts, ask

pytestmark = pytest.mark.lab


def test_a_kernel_an_initrd_and_a_disk_of_squib(artifacts: Artifacts, tap0: str, tmp_path: Path, logs: Path) -> None:
    clock = artifacts["clock"]
    machine = {
        "boot-source": {
            "kernel_image_path": str(clock / "vmlinux"),
            "initrd_path": str(clock / "initrd.img"),
            "boot_args": f"console=ttyS0 quiet reboot=k panic=1 cryptomgr.notests {IP}",
        },
        "drives": [
            {"drive_id": "rootfs", "path_on_host": str(clock / "rootfs.ext4"), "is_root_device": True, "is_read_only": True}
        ],
        "machine-config": {"vcpu_count": 1, "mem_size_mib": 128},
        "network-interfaces": [{"iface_id": "eth0", "host_dev_name": tap0, "guest_mac": MAC}],
    }
    (tmp_path / "vm.json").write_text(json.dumps(machine))
    with (logs / "raw-firecracker.log").open("wb") as console:
        process = subprocess.Popen(
            ["firecracker", "--no-api", "--config-file", str(tmp_path / "vm.json")],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
        )
        try:
            assert ask(process).startswith('{ "time": "20')
        finally:
            process.kill()
            process.wait()
