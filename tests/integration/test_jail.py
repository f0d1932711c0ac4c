"""The jail, for real as far as there is no KVM: Firecracker's own jailer and Firecracker, up to the start of the guest."""

from __future__ import annotations

import errno
import re
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from jail_break import ESCAPED, escape, taken_over
from squib.errors import (
    MissingError,
    PermissionDeniedError,
    SquibError,
    StorageError,
    UnavailableError,
    UsageError,
)
from squib.host import links
from squib.host.process import working_in
from squib.model.jail import FIRST_UID, Jail
from squib.model.machine import Drive, MachineConfig, PortForward
from squib.model.network import GuestIp, HostEnd, Tap
from squib.vmm.firecracker import binaries
from squib.vmm.firecracker.api_client import ApiClient
from squib.vmm.firecracker.launch import Firecracker
from squib.vmm.run_dir import CONSOLE_MAX_BYTES, clear_run_dir, end_in_run_dir, jail_root
from squib.wire.firecracker.requests import Request
from support import firecracker
from tiny_guest import Behaviour, config

pytestmark = [pytest.mark.root, pytest.mark.tool]

TAP = "squibjail0"
UID = FIRST_UID + 4711
# No limits: this host's cgroups may be those of version 1. The lab has them.
JAIL = Jail("0123456789ab", UID, UID)
PORT = PortForward(IPv4Address("127.0.0.1"), 47113, 80)


@pytest.fixture
def run_dir(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "machines/0123456789ab"
    yield folder
    clear_run_dir(folder)
    links.delete(TAP)


@pytest.fixture
def machine(tmp_path: Path) -> MachineConfig:
    for name in ("vmlinux", "root.ext4"):
        (tmp_path / name).write_bytes(b"\x7fELF".ljust(4096))
        (tmp_path / name).chmod(0o644)
    tiny = config(tmp_path, Behaviour.SERVES, kernel=tmp_path / "vmlinux")
    end = HostEnd(IPv4Interface("198.18.7.1/30"))
    tap = Tap("eth0", TAP, "06:00:C6:12:07:02", GuestIp(IPv4Interface("198.18.7.2/30"), end.address.ip), to_make=end)
    drive = Drive("rootfs", tmp_path / "root.ext4", is_root=True)
    return replace(tiny, interfaces=(tap,), drives=(drive,), held_ports=(PORT,), jail=JAIL)


@pytest.fixture
def vmm() -> Firecracker:
    program = firecracker()
    return Firecracker(program, binaries.find_jailer(program))


@pytest.fixture
def no_guest(monkeypatch: pytest.MonkeyPatch) -> None:
    """All is asked for but the start."""

    def send(client: ApiClient, request: Request, *, timeout: float, send: object = ApiClient.send) -> None:
        if request.path != "/actions":
            send(client, request, timeout=timeout)  # type: ignore[operator]  # the method that is replaced

    monkeypatch.setattr(ApiClient, "send", send)


def told(pid: int, field: str) -> str:
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return lines[field].strip()


@pytest.mark.usefixtures("no_guest")
def test_what_a_jailed_firecracker_is(machine: MachineConfig, run_dir: Path, vmm: Firecracker) -> None:
    with vmm.launch(machine, run_dir) as vm:
        pid = vm.identity.pid
        assert told(pid, "Uid").split() == told(pid, "Gid").split() == [str(UID)] * 4
        assert (told(pid, "Groups"), int(told(pid, "CapPrm"), 16), int(told(pid, "CapEff"), 16)) == ("", 0, 0)
        # Its files are bounded as outside of a jail, and a write past that is an error and no signal.
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert re.search(rf"^Max file size +{CONSOLE_MAX_BYTES} +{CONSOLE_MAX_BYTES} ", limits, re.MULTILINE)
        assert int(told(pid, "SigBlk"), 16) >> (signal.SIGXFSZ - 1) & 1
        root = jail_root(run_dir)
        assert root is not None
        assert root.samefile(f"/proc/{pid}/root")
        assert [identity.pid for identity in working_in(root)] == [pid]
        for folder in (root, root / "dev", root / "run"):
            assert (folder.stat().st_uid, stat.S_IMODE(folder.stat().st_mode)) == (0, 0o711), "it is sealed"
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        assert environment == b""
        # Its tap is the host's, and open; its network is empty.
        device = links.devices()[TAP]
        assert (device.up, device.owner, device.is_tap, device.alias) == (True, UID, True, "squib")
        assert Path(f"/sys/class/net/{TAP}/carrier").read_text() == "1\n"
        assert taken_over(pid, escape) == ESCAPED
        assert {path.name for path in root.iterdir() if path.is_file()} == {
            *("drive-rootfs", "firecracker", "firecracker.log", "firecracker.pid", "initrd", "metrics", "vmlinux")
        }
        # What it logs is in the machine's folder too, and stays when the jail goes.
        assert (run_dir / "firecracker.log").samefile(root / "firecracker.log")
        # Others may not listen on what is published, as long as it runs.
        with socket.socket() as other, pytest.raises(OSError, match="in use") as caught:
            other.bind(("127.0.0.1", PORT.host_port))
        assert caught.value.errno == errno.EADDRINUSE
        vm.kill()
    with socket.socket() as other:
        other.bind(("127.0.0.1", PORT.host_port))


@pytest.mark.usefixtures("no_guest")
def test_what_is_read_only_is_no_copy(machine: MachineConfig, run_dir: Path, vmm: Firecracker, tmp_path: Path) -> None:
    """Unless the jail's user could not read it: then it is a copy of his own."""
    (tmp_path / "vmlinux").chmod(0o600)
    with vmm.launch(machine, run_dir) as vm:
        root = jail_root(run_dir)
        assert root is not None
        assert (root / "drive-rootfs").samefile(tmp_path / "root.ext4")
        copy = (root / "vmlinux").stat()
        assert (copy.st_uid, stat.S_IMODE(copy.st_mode), copy.st_nlink) == (UID, 0o400, 1)
        assert (tmp_path / "vmlinux").stat().st_uid == 0
        vm.kill()


@pytest.mark.usefixtures("no_guest")
def test_whoever_comes_later_finds_it_and_stops_it(machine: MachineConfig, run_dir: Path, vmm: Firecracker) -> None:
    with vmm.launch(machine, run_dir) as vm:
        again = vmm.attach(vm.identity, run_dir)
    assert again is not None
    with again:
        again.stop(0.1)  # there is no guest, so it is not heard
    assert not working_in(run_dir)


@pytest.mark.usefixtures("no_guest")
def test_one_that_nobody_wrote_down_is_found_by_its_root(machine: MachineConfig, run_dir: Path, vmm: Firecracker) -> None:
    with vmm.launch(machine, run_dir) as vm:
        end_in_run_dir(run_dir)
        assert vm.poll() is not None
    clear_run_dir(run_dir)
    assert not run_dir.exists()


def test_a_link_in_the_jail_is_not_followed(machine: MachineConfig, run_dir: Path, vmm: Firecracker, tmp_path: Path) -> None:
    """Who breaks out of the guest could put one in the place of the API's socket, were the jail not sealed."""
    elsewhere = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(elsewhere))
        server.listen()
        link = tmp_path / "api.sock"
        link.symlink_to(elsewhere)
        with pytest.raises(SquibError, match="cannot be reached"):
            ApiClient(link, timeout=1.0)
        ApiClient(elsewhere, timeout=1.0).close()


@pytest.mark.parametrize("case", ["no jailer", "no kernel", "own", "else's tap", "writable elsewhere"])
def test_what_cannot_be_jailed(machine: MachineConfig, run_dir: Path, vmm: Firecracker, tmp_path: Path, case: str) -> None:
    tap = machine.interfaces[0]
    assert isinstance(tap, Tap)
    expected: tuple[type[SquibError], str]
    match case:
        case "no jailer":
            vmm, expected = Firecracker(firecracker()), (UnavailableError, "there is no jailer beside")
        case "no kernel":
            machine, expected = replace(machine, kernel=tmp_path / "none"), (MissingError, "none")
        case "own":
            links.make_tap(TAP)
            expected = (SquibError, f"there is a network device {TAP} already")
        case "else's tap":
            links.add_tap(TAP, IPv4Interface("198.18.7.1/30"), owner=12345)
            machine = replace(machine, interfaces=(replace(tap, to_make=None),))
            expected = (PermissionDeniedError, "has an owner, and a jailed Firecracker is another user")
        case _:
            shm = Path("/dev/shm/squib-jail-test")
            shm.write_bytes(bytes(4096))
            machine = replace(machine, drives=(*machine.drives, Drive("data", shm, read_only=False)))
            expected = (UsageError, "cannot be written from a jail")
    with pytest.raises(expected[0], match=expected[1]):
        vmm.launch(machine, run_dir)
    assert not run_dir.exists()
    if case in {"no kernel", "no jailer"}:
        assert TAP not in links.devices()
    Path("/dev/shm/squib-jail-test").unlink(missing_ok=True)


def test_a_jailer_that_fails_says_why(machine: MachineConfig, run_dir: Path, vmm: Firecracker) -> None:
    jail = replace(JAIL, limits=(("nonsense.max", "1"),))
    with pytest.raises(SquibError) as caught:
        vmm.launch(replace(machine, jail=jail), run_dir)
    assert "the jailer failed: Controller nonsense is unavailable" in str(caught.value)
    assert not run_dir.exists()


def test_the_start_of_a_guest_without_kvm_leaves_nothing(machine: MachineConfig, run_dir: Path, vmm: Firecracker) -> None:
    """Here KVM may be there and not work, or not be there: whatever comes of it, it is an error and nothing is left."""
    with pytest.raises(SquibError):
        vmm.launch(replace(machine, kernel=Path("/bin/true")), run_dir)
    assert not run_dir.exists()
    done = subprocess.run(["ps", "-o", "stat=", "-u", str(UID)], capture_output=True, text=True, check=False)
    assert not [line for line in done.stdout.split() if line[0] != "Z"]


@pytest.mark.parametrize("room", ["64k", "2m"])
def test_a_full_disk(machine: MachineConfig, tmp_path: Path, vmm: Firecracker, room: str) -> None:
    """Where squib fills the jail, and where the jailer does."""
    (tmp_path / "vmlinux").write_bytes(b"\x7fELF".ljust(1 << 20))
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", small], check=True)
    try:
        with pytest.raises(StorageError, match="no space left to write"):
            vmm.launch(machine, small / "one")
        assert list(small.iterdir()) == []
        assert TAP not in links.devices()
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.usefixtures("no_guest")
def test_files_of_the_user_stay_his(machine: MachineConfig, run_dir: Path, vmm: Firecracker, tmp_path: Path) -> None:
    """A drive that is written is that very file, also by a link, whoever owns it; nobody else gets nearer to it."""
    disk, link = tmp_path / "disk", tmp_path / "link"
    disk.write_bytes(bytes(4096))
    disk.chmod(0o666)
    link.symlink_to("disk")
    wanted = replace(machine, drives=(*machine.drives, Drive("data", link, read_only=False)))
    with vmm.launch(wanted, run_dir) as vm:
        root = jail_root(run_dir)
        assert root is not None
        assert (root / "drive-data").samefile(disk)
        assert disk.stat().st_uid == 0
        assert stat.S_IMODE(root.parent.stat().st_mode) == 0o700
        vm.kill()
