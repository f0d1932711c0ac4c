"""What every VMM must do: become ready, end, be ended, and say why it did not.

On a real QEMU, on a real Firecracker where KVM works (in the lab, at least), on a Firecracker whose guest is made up, and on a
fake of both VMM and guest.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

import fake_firecracker
from squib.errors import GuestError, HostError, SquibError, TakenError, UsageError
from squib.host.process import alive, working_in
from squib.model.machine import Accel, Drive, MachineConfig, PortForward
from squib.vmm import run_dir as run_dir_module
from squib.vmm.base import Vm, VmEnd, Vmm
from squib.vmm.firecracker.launch import Firecracker
from squib.vmm.kvm_trial import TRIAL_S, try_boot
from squib.vmm.qemu import launch as launch_module
from squib.vmm.qemu.accel import trial_boot
from squib.vmm.qemu.argv import argv
from squib.vmm.qemu.launch import Qemu
from support import firecracker, kvm_that_works, tool
from tiny_guest import Behaviour, FakeVmm, config, vmlinux
from waiting import until

Setup = tuple[Vmm, Callable[[Behaviour], MachineConfig]]
READY_S = 60.0


@pytest.fixture(
    params=[
        "fake",
        "fake-firecracker",
        pytest.param("qemu", marks=pytest.mark.vm),
        pytest.param("firecracker", marks=[pytest.mark.vm, pytest.mark.kvm]),
    ]
)
def setup(request: pytest.FixtureRequest, tmp_path: Path) -> Setup:
    match request.param:
        case "fake":
            return FakeVmm(), lambda behaviour: config(tmp_path, behaviour)
        case "fake-firecracker":
            kernel = tmp_path / "vmlinux"
            kernel.write_bytes(b"\x7fELF")
            program = fake_firecracker.write(tmp_path)
            return Firecracker(program), lambda behaviour: tapless(config(tmp_path, behaviour, kernel=kernel))
        case "qemu":
            kernel = vmlinux()
            return Qemu(Path(tool("qemu-system-x86_64")), Accel.TCG), lambda behaviour: config(
                tmp_path, behaviour, kernel=kernel
            )
        case _:
            kvm_that_works()
            kernel = vmlinux()
            return Firecracker(firecracker()), lambda behaviour: tapless(config(tmp_path, behaviour, kernel=kernel))


def tapless(machine: MachineConfig) -> MachineConfig:
    return replace(machine, interfaces=())


@pytest.fixture
def run_dir(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "machines" / "one"
    yield folder
    left = working_in(folder)
    for identity in left:
        os.kill(identity.pid, signal.SIGKILL)
    assert not left, "a VMM was left running"


def launch(setup: Setup, behaviour: Behaviour, run_dir: Path) -> Vm:
    vmm, machine = setup
    return vmm.launch(machine(behaviour), run_dir)


def test_ready_then_a_graceful_stop(setup: Setup, run_dir: Path) -> None:
    shown: list[bytes] = []
    with launch(setup, Behaviour.SERVES, run_dir) as vm:
        ready = vm.wait_ready(READY_S, shown.append)
        assert ready.listen == ("tcp:0.0.0.0:80",)
        assert b"squib.boot" in b"".join(shown)
        assert alive(vm.identity)
        assert vm.poll() is None
        assert vm.wait(0.05) is None
        assert vm.stop(20) == VmEnd(0, "stopped")
        assert not alive(vm.identity)
        assert vm.poll() == VmEnd(0, "stopped")
        assert vm.stop(1) == vm.kill() == VmEnd(0, "stopped")


def test_a_guest_that_ignores_the_wish_is_ended_at_the_deadline(setup: Setup, run_dir: Path) -> None:
    with launch(setup, Behaviour.STUBBORN, run_dir) as vm:
        vm.wait_ready(READY_S)
        end = vm.stop(0.3)
        assert end.status is None
        assert "without a word" in end.reason
        assert not alive(vm.identity)


def test_another_process_can_attach_and_stop(setup: Setup, run_dir: Path) -> None:
    with launch(setup, Behaviour.SERVES, run_dir) as vm:
        vm.wait_ready(READY_S)
        identity = vm.identity
    assert alive(identity)
    again = setup[0].attach(identity, run_dir)
    assert again is not None
    with again:
        assert again.wait_ready(1).uptime_ms > 0
        assert again.stop(20) == VmEnd(0, "stopped")
    assert setup[0].attach(identity, run_dir) is None


def test_only_its_owner_may_look(setup: Setup, run_dir: Path) -> None:
    with launch(setup, Behaviour.SERVES, run_dir) as vm:
        try:
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (run_dir, *run_dir.iterdir())}
            assert {name: mode for name, mode in modes.items() if mode & 0o077 and not name.endswith(".log")} == {}
            assert modes["one"] == 0o700
            assert modes["console.log"] == 0o600
        finally:
            vm.kill()


@pytest.mark.parametrize(
    ("behaviour", "error", "message", "hint"),
    [
        (Behaviour.USAGE, UsageError, "refused an option: \"clock: unknown option '--prot'", "--help"),
        (Behaviour.FAILED, GuestError, 'could not set itself up: "squib.init: eth0', "above"),
        (Behaviour.CRASHED, GuestError, "the server crashed", "above"),
        (Behaviour.PANICS, GuestError, 'init, died: "Attempted to kill init', "squib build"),
        (Behaviour.VANISHES, GuestError, "ended", ""),
    ],
)
def test_why_it_did_not_become_ready(
    setup: Setup, run_dir: Path, behaviour: Behaviour, error: type[Exception], message: str, hint: str
) -> None:
    with launch(setup, behaviour, run_dir) as vm:
        try:
            with pytest.raises(error, match=re.escape(message)) as caught:
                vm.wait_ready(READY_S)
        finally:
            vm.kill()
    assert isinstance(caught.value, SquibError)
    assert hint in caught.value.hint
    if behaviour is not Behaviour.VANISHES:
        assert "squib.boot" in caught.value.detail


@pytest.mark.parametrize(
    ("behaviour", "message"), [(Behaviour.SILENT, "printed nothing"), (Behaviour.NEVER_READY, "init started")]
)
def test_the_deadline_says_how_far_it_got(setup: Setup, run_dir: Path, behaviour: Behaviour, message: str) -> None:
    with launch(setup, behaviour, run_dir) as vm:
        try:
            if behaviour is Behaviour.NEVER_READY:
                until(lambda: vm.wait(0.05) is not None or b"squib.boot" in vm.console.read_bytes())
                assert vm.poll() is None
            with pytest.raises(GuestError, match=message) as caught:
                vm.wait_ready(0.2)
            assert "--timeout" in caught.value.hint
            assert alive(vm.identity), "the caller decides what becomes of it"
        finally:
            assert vm.kill().status is None


def test_the_death_of_the_vmm_ends_the_wait_at_once(setup: Setup, run_dir: Path) -> None:
    with launch(setup, Behaviour.SILENT, run_dir) as vm:
        os.kill(vm.identity.pid, signal.SIGKILL)
        with pytest.raises((GuestError, HostError), match="signal 9"):
            vm.wait_ready(3600)


def test_a_flood_of_the_console_is_bounded_and_ends_nothing(
    setup: Setup, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound is a small one here. Firecracker handles SIGXFSZ, which would come with a write past it, by ending."""
    monkeypatch.setattr(run_dir_module, "CONSOLE_MAX_BYTES", 1 << 14)
    monkeypatch.setattr(run_dir_module, "_PIECE_BYTES", 1 << 13)
    with launch(setup, Behaviour.FLOODS, run_dir) as vm:
        deadline = time.monotonic() + READY_S
        while not run_dir_module.is_full(vm.console):  # nobody cuts it meanwhile
            assert alive(vm.identity)
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.2)
        assert vm.console.stat().st_size == 1 << 14
        assert alive(vm.identity)
        assert vm.stop(60) == VmEnd(0, "stopped"), "there is room again for its last word"


def test_a_run_folder_is_not_used_twice(setup: Setup, run_dir: Path) -> None:
    run_dir.mkdir(parents=True)
    with pytest.raises(SquibError, match="exists"):
        launch(setup, Behaviour.SERVES, run_dir)


# What only QEMU can meet.


@pytest.fixture
def qemu() -> Qemu:
    return Qemu(Path(tool("qemu-system-x86_64")), Accel.TCG)


@pytest.mark.vm
def test_a_port_that_is_taken_meanwhile(qemu: Qemu, run_dir: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        forward = PortForward(IPv4Address("127.0.0.1"), port, 80)
        with pytest.raises(TakenError, match=f"127.0.0.1:{port} is in use"):
            qemu.launch(config(tmp_path, Behaviour.SERVES, kernel=vmlinux(), forwards=(forward,)), run_dir)
    assert not run_dir.exists()


@pytest.mark.vm
def test_a_missing_kernel(qemu: Qemu, run_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(SquibError) as caught:
        qemu.launch(config(tmp_path, Behaviour.SERVES), run_dir)
    assert "/no/kernel" in caught.value.detail
    assert not run_dir.exists()


@pytest.mark.vm
def test_more_memory_than_the_host_has(qemu: Qemu, run_dir: Path, tmp_path: Path) -> None:
    machine = replace(config(tmp_path, Behaviour.SERVES, kernel=vmlinux()), mem_size_mib=1 << 28)
    with pytest.raises(SquibError, match="not enough memory"):
        qemu.launch(machine, run_dir)
    assert not run_dir.exists()


@pytest.mark.vm
def test_a_run_folder_deeper_than_a_socket_path_and_with_a_comma(qemu: Qemu) -> None:
    base = Path(tempfile.mkdtemp(prefix="squib,"))
    try:
        folder = base / ("deep" * 40) / "one"
        with qemu.launch(config(base, Behaviour.SERVES, kernel=vmlinux()), folder) as vm:
            try:
                vm.wait_ready(READY_S)
            finally:
                assert vm.stop(20) == VmEnd(0, "stopped")
    finally:
        shutil.rmtree(base)


@pytest.mark.vm
def test_the_machine_for_kvm_boots_and_stops_by_its_keyboard(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of microvm's line but `-accel kvm -cpu host`: emulated, and steady only where the clock counts instructions."""

    def emulated(machine: MachineConfig, accel: Accel, *, program: Path, qmp_fd: int | None = None) -> tuple[str, ...]:
        swap = {"kvm": "tcg", "host": "max"}
        line = argv(machine, accel, program=program, qmp_fd=qmp_fd)
        return (*(swap.get(part, part) for part in line), "-icount", "shift=1,sleep=off")

    monkeypatch.setattr(launch_module, "argv", emulated)
    (tmp_path / "disk.raw").write_bytes(bytes(1 << 20))
    machine = config(tmp_path, Behaviour.SERVES, kernel=vmlinux())
    machine = replace(machine, drives=(Drive("rootfs", tmp_path / "disk.raw"),))
    with Qemu(Path(tool("qemu-system-x86_64")), Accel.KVM).launch(machine, run_dir) as vm:
        try:
            vm.wait_ready(READY_S)
        finally:
            end = vm.stop(20)
    assert end == VmEnd(0, "stopped")


@pytest.mark.vm
def test_several_processors(qemu: Qemu, run_dir: Path, tmp_path: Path) -> None:
    machine = replace(config(tmp_path, Behaviour.SERVES, kernel=vmlinux()), vcpu_count=2)
    with qemu.launch(machine, run_dir) as vm:
        try:
            vm.wait_ready(READY_S)
        finally:
            end = vm.stop(20)
    assert end == VmEnd(0, "stopped")


@pytest.mark.vm
@pytest.mark.parametrize(
    ("mem_size_mib", "archive", "message", "hint"),
    [
        (64, None, "the guest ran out of memory", "--memory"),
        (112, b"not a cpio archive", "could not unpack the initrd", "squib build"),
    ],
)
def test_too_little_memory_and_a_broken_initrd(
    qemu: Qemu, run_dir: Path, tmp_path: Path, mem_size_mib: int, archive: bytes | None, message: str, hint: str
) -> None:
    machine = replace(config(tmp_path, Behaviour.SERVES, kernel=vmlinux()), mem_size_mib=mem_size_mib)
    if archive is not None:
        assert machine.initrd is not None
        machine.initrd.write_bytes(archive * 100)
    with qemu.launch(machine, run_dir) as vm:
        try:
            with pytest.raises(GuestError, match=message) as caught:
                vm.wait_ready(READY_S)
        finally:
            vm.kill()
    assert hint in caught.value.hint
    assert "Kernel panic" in caught.value.detail


@pytest.mark.vm
def test_a_trial_of_a_real_kernel() -> None:
    """Emulated, where it must speak; whatever KVM is worth here, the answer comes in time."""
    program = Path(tool("qemu-system-x86_64"))
    assert try_boot(trial_boot(vmlinux(), Accel.TCG, program=program), timeout=READY_S).works
    begin = time.monotonic()
    try_boot(trial_boot(vmlinux(), Accel.KVM, program=program), timeout=TRIAL_S)
    assert time.monotonic() - begin < READY_S
