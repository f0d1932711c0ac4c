"""`squib vm` with real Firecracker: the seed's own command line, and on a terminal, as a plain user, what firectl's users asked for."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from lab import layout
from lab.conftest import GUEST, Artifacts, ask
from squib.host.process import alive, working_in

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

SQUIB = f"{layout.VENV}/bin/squib"

# run_firecracker.sh as the seed has it, with only `./firectl` replaced.
SEED = """\
#!/usr/bin/env bash
squib vm \\
    --firecracker-binary=$PWD/firecracker \\
    --kernel=$PWD/vmlinux.bin \\
    --root-drive=$PWD/rootfs.ext4 \\
    --kernel-opts="console=ttyS0 ip=172.17.100.2::172.17.100.1:255.255.255.0:webserver:eth0:off:172.17.100.1::" \\
    --tap-device=tap0/AA:FC:00:00:00:01
"""


@pytest.fixture
def drop(artifacts: Artifacts, tmp_path: Path) -> Path:
    """The drop, where the guest may write its disk."""
    return Path(shutil.copytree(artifacts["drop"], tmp_path / "drop"))


@pytest.mark.usefixtures("tap0")
def test_the_seeds_run_firecracker_sh(drop: Path, logs: Path) -> None:
    script = SEED
    if (drop / "initrd.img").exists():  # a kernel that needs one to find its disk
        script = script.replace("vmlinux.bin \\\n", "vmlinux.bin \\\n    --initrd-path=$PWD/initrd.img \\\n")
    (drop / "run_firecracker.sh").write_text(script)
    with (logs / "vm-seed.log").open("wb") as log:
        process = subprocess.Popen(
            ["bash", "run_firecracker.sh"],
            cwd=drop,
            env={"PATH": f"{layout.VENV}/bin:/usr/bin:/bin", "HOME": str(drop)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            assert ask(process, 180).startswith('{ "time": "20')
            os.killpg(process.pid, signal.SIGINT)
            process.wait(60)
        finally:
            os.killpg(process.pid, signal.SIGTERM) if process.poll() is None else None
    said = (logs / "vm-seed.log").read_text(errors="replace")
    assert "squib.ready" in said
    assert "reason=stopped" in said
    assert f"http://{GUEST}" not in said, "the launcher knows nothing of appliances"


def await_text(descriptor: int, text: str, seconds: float = 180) -> str:
    seen, end = b"", time.monotonic() + seconds
    while text.encode() not in seen:
        assert select.select([descriptor], [], [], max(0.0, end - time.monotonic()))[0], f"{text!r} is not in {seen!r}"
        try:
            data = os.read(descriptor, 65536)
        except OSError:
            data = b""
        assert data, f"{text!r} is not in {seen!r}"
        seen += data
    return seen.decode(errors="replace")


def curl(socket: str, path: str) -> object:
    done = subprocess.run(["curl", "-sS", "--unix-socket", socket, f"http://localhost{path}"], capture_output=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.usefixtures("tap0")
def test_a_plain_user_on_a_terminal_with_firectls_defaults(drop: Path, logs: Path) -> None:
    """The default kernel and command line; metadata before the start, V2; a second drive; a vsock; a log; and Ctrl-] ends it."""
    (drop / "vmlinux.bin").rename(drop / "vmlinux")
    (drop / "data.img").write_bytes(bytes(1 << 20))
    (drop / "metadata.json").write_text('{"where": {"is": "the lab"}}')
    for path in (drop, *drop.iterdir()):
        os.chown(path, layout.USER_ID, layout.USER_ID)
    for folder in drop.parents:
        if folder.stat().st_mode & 0o077 == 0:
            folder.chmod(0o711)
    initrd = ["--initrd-path", "initrd.img"] if (drop / "initrd.img").exists() else []
    words = [
        *("--firecracker-binary", "./firecracker", "--root-drive", "rootfs.ext4:ro", "--add-drive", "data.img:rw", *initrd),
        *("--tap-device", "tap0/AA:FC:00:00:00:01", "--metadata-file", "metadata.json", "--mmds-version", "V2"),
        *("--vsock-device", "v.sock:3", "-l", "fc.log", "-s", "api.sock", "-m", "128", "--id", "lab-1"),
    ]
    printed = subprocess.run(
        [SQUIB, "vm", *words, "--print-config"], cwd=drop, capture_output=True, text=True, check=True
    ).stdout
    (drop / "vm.json").write_text(printed)
    again = subprocess.run(
        [SQUIB, "vm", "--config", "vm.json", "--print-config"], cwd=drop, capture_output=True, text=True, check=True
    )
    assert again.stdout == printed

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "-c", SQUIB, "vm", *words],
        cwd=drop,
        env={"PATH": "/usr/bin:/bin", "HOME": "/tmp", "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        user=layout.USER_ID,
        group=layout.USER_ID,
        extra_groups=[layout.KVM_GROUP],
    )
    os.close(theirs)
    try:
        shown = await_text(ours, "squib.ready")
        assert "Ctrl-] asks it to stop" in shown
        info = curl(str(drop / "api.sock"), "/")
        assert isinstance(info, dict)
        assert (info["state"], info["id"]) == ("Running", "lab-1")
        assert curl(str(drop / "api.sock"), "/mmds") == {"where": {"is": "the lab"}}
        running = curl(str(drop / "api.sock"), "/vm/config")
        assert isinstance(running, dict)
        assert {drive["drive_id"]: drive["is_read_only"] for drive in running["drives"]} == {"1": True, "2": False}
        assert running["mmds-config"]["version"] == "V2"
        assert running["machine-config"]["smt"] is True
        assert running["vsock"]["uds_path"] == "v.sock"
        assert (drop / "v.sock").is_socket()
        os.write(ours, b"\x1d")
        await_text(ours, "reason=stopped")
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert "Running Firecracker" not in shown
    assert (drop / "fc.log").stat().st_size > 0
    shutil.copy(drop / "fc.log", logs / "vm-firecracker.log")
    assert not (drop / "api.sock").exists()
    assert not (drop / "v.sock").exists()


def test_in_a_jail(drop: Path, tmp_path: Path) -> None:
    """firectl's jailer options: a whole life, and what kill -9 of squib leaves, which is nothing."""
    base = tmp_path / "jails"
    words = (
        *(
            "--firecracker-binary",
            "./firecracker",
            "--kernel",
            "vmlinux.bin",
            "--root-drive",
            "rootfs.ext4:ro",
            "--stdin",
            "never",
        ),
        *("-m", "128", "--kernel-opts", "console=ttyS0 quiet reboot=k panic=1 pci=off"),
        *("--vsock-device", "v.sock:3", "-l", "fc.log", "--jailer", "jailer", "--uid", "12345", "--chroot-base-dir", str(base)),
    )
    for number in (signal.SIGTERM, signal.SIGKILL):
        process = subprocess.Popen([SQUIB, "vm", *words], cwd=drop, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            lines: list[str] = []
            while "squib.ready" not in "".join(lines[-1:]):
                lines.append(process.stdout.readline())
                assert lines[-1], (
                    lines[-12:],
                    process.communicate(),
                    process.returncode,
                    (drop / "fc.log").read_text()[-1500:],
                )
            (root,) = base.glob("firecracker/*/root")
            (inside,) = working_in(root)
            status = Path(f"/proc/{inside.pid}/status").read_text()
            assert "\nUid:\t12345\t12345\t12345\t12345\n" in status
            assert "\nGid:\t12345\t12345\t12345\t12345\n" in status
            assert (root / "vsock.sock").is_socket()
            process.send_signal(number)
            out, err = process.communicate(timeout=120)
        finally:
            process.kill()
        if number == signal.SIGTERM:
            assert process.returncode == 0, (out, err)
            assert f"its jail is {root}, where it is user 12345, group 12345" in err
        deadline = time.monotonic() + 60
        while list(base.iterdir()) or alive(inside):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert (drop / "fc.log").exists()
