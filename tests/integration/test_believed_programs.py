"""Programs and processes are what they were when squib wrote them down: else nothing is run, and nothing is ended."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from squib.app import doctor
from squib.app.vm import session
from squib.app.vm.session import Launch
from squib.errors import UnavailableError
from squib.host.kvm import KvmDevice
from squib.host.process import Handle, ProcessIdentity, alive, identify
from squib.model.findings import Level
from squib.model.machine import Accel, Drive, MachineConfig
from squib.model.run import RunSpec
from squib.store import Reservation, Store
from squib.vmm.choice import Programs, choose
from squib.vmm.firecracker import binaries
from squib.vmm.firecracker.launch import Firecracker
from squib.vmm.qemu.launch import Qemu
from squib.vmm.reconcile import reconcile
from squib.vmm.run_dir import make_run_dir, open_vmm
from squib.wire.firecracker.resources import BootSource, FullVmConfiguration
from squib.wiring import house
from tiny_guest import Behaviour, FakeVmm, config

WISH = Reservation(None, "clock", (), "qemu", Accel.TCG, "sha256:aa", 128, 1)


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What another program, in place of the fetched ones, leaves when it is run."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    mark = tmp_path / "it was run"
    binaries.cached().mkdir(parents=True)
    for name in binaries.PROGRAMS:
        program = binaries.cached() / name
        program.write_text(f"#!/bin/sh\necho 'Firecracker v1.12.1'\n: > '{mark}'\n")
        program.chmod(0o755)
    return mark


@pytest.fixture
def machine(tmp_path: Path) -> MachineConfig:
    (tmp_path / "vmlinux").write_bytes(b"\x7fELF")
    (tmp_path / "root").write_bytes(bytes(4096))
    tiny = config(tmp_path, Behaviour.SERVES, kernel=tmp_path / "vmlinux")
    return replace(tiny, interfaces=(), drives=(Drive("rootfs", tmp_path / "root", is_root=True),))


def launched(machine: MachineConfig, tmp_path: Path) -> None:
    program = binaries.cached() / "firecracker"
    Firecracker(program, binaries.find_jailer(program)).launch(machine, tmp_path / "machines/one")


def by_vm(machine: MachineConfig, tmp_path: Path) -> None:
    wanted = FullVmConfiguration(boot_source=BootSource(str(machine.kernel)), drives=())
    session.run(Launch(binaries.cached() / "firecracker", wanted, None, None, None, None, None, (), None, 1.0), None)  # type: ignore[arg-type]


def tried(machine: MachineConfig, tmp_path: Path) -> None:
    programs = Programs(lambda: Path("/no/qemu"), binaries.cached() / "firecracker", KvmDevice("", "", "kvm_intel"))
    choose(RunSpec(tap=("tap0", "52:54:00:00:00:01")), machine.kernel, "aa", programs)


def dropped(machine: MachineConfig, tmp_path: Path) -> None:
    from squib.wiring import _firecracker

    assert house() is not None
    _firecracker()


@pytest.mark.parametrize("use", [launched, by_vm, tried, dropped])
def test_a_cached_program_that_was_changed_is_not_run(
    use: Callable[[MachineConfig, Path], None], ran: Path, machine: MachineConfig, tmp_path: Path
) -> None:
    with pytest.raises(UnavailableError, match="is not the one that squib fetched") as caught:
        use(machine, tmp_path)
    assert caught.value.hint == "get it again: squib fetch firecracker"
    assert not ran.exists()
    assert not (tmp_path / "machines/one").exists()


def test_doctor_does_not_run_it_either(ran: Path) -> None:
    row = next(row for row in doctor.examine() if row.name == "firecracker")
    assert row.level is Level.WARNING
    assert "not the one that squib fetched" in row.found
    assert not ran.exists()


def test_one_that_was_installed_by_somebody_is_run(ran: Path, tmp_path: Path) -> None:
    """Who put it on the PATH answers for it."""
    program = tmp_path / "bin/firecracker"
    assert binaries.checked(program) == program


@pytest.fixture
def bystander(tmp_path: Path) -> Iterator[ProcessIdentity]:
    """A process that has nothing to do with squib."""
    with subprocess.Popen((sys.executable, "-c", "import time; time.sleep(600)"), cwd=tmp_path) as child:
        identity = identify(child.pid)
        assert identity is not None
        yield identity
        child.kill()


@pytest.mark.parametrize("vmm", [Qemu(Path("/no/qemu"), Accel.TCG), Firecracker(None)])
def test_a_record_that_names_another_process_ends_none(
    tmp_path: Path, bystander: ProcessIdentity, vmm: Qemu | Firecracker
) -> None:
    with Store(tmp_path / "squib") as store:
        machine = store.reserve(WISH)
        make_run_dir(machine.run_dir)
        store.started(machine.id, bystander)
        assert vmm.attach(bystander, machine.run_dir) is None
        store._connection.execute("UPDATE machines SET owner_start = owner_start + 1")  # its squib is dead
        (cleaned,) = reconcile(store)
        assert cleaned.what == "its squib was killed: ended and removed"
    assert alive(bystander)


def test_the_one_that_works_in_its_folder_is_its_vmm_also_once_that_is_deleted(
    tmp_path: Path, bystander: ProcessIdentity
) -> None:
    run_dir = tmp_path / "machines/one"
    with FakeVmm().launch(config(tmp_path, Behaviour.SERVES), run_dir) as vm:
        assert open_vmm(bystander, run_dir) is None
        for path in run_dir.iterdir():
            path.unlink()
        found = open_vmm(vm.identity, run_dir)
        assert found is not None
        run_dir.rmdir()
        again = open_vmm(vm.identity, run_dir)
        assert again is not None
        for handle in (found, again):
            assert handle.identity == vm.identity
            handle.close()
        other = replace(vm.identity, start_time=vm.identity.start_time + 1)
        assert open_vmm(other, run_dir) is None
        with Handle.open(vm.identity) or pytest.fail("it lives") as process:
            process.signal(signal.SIGKILL)
            assert process.wait(20)
