"""KVM counts only by evidence: a device that is not there, one that says no, and QEMUs that die, are silent, or speak."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from squib.errors import UnavailableError
from squib.host import kvm
from squib.host.kvm import KvmDevice
from squib.host.process import working_in
from squib.model.machine import Accel, VmmChoice
from squib.vmm import kvm_trial
from squib.vmm.kvm_trial import try_boot
from squib.vmm.qemu.accel import choose, trial_boot
from squib.vmm.run_dir import make_run_dir

GOOD = KvmDevice("", "", "kvm_intel")
SOFTWARE = KvmDevice("", "", "kvm_pvm")
KERNEL = Path("/a/vmlinux")

SPEAKS = "open('console.log', 'a').write('[    0.000000] Linux version 6.1.0\\n'); import signal; signal.pause()"
SILENT = "open('console.log', 'a').write('SeaBIOS\\n'); import signal; signal.signal(15, signal.SIG_IGN); signal.pause()"
DIES = "import sys; sys.exit('kvm_buf_set_msrs: Assertion failed')"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(kvm_trial, "TRIAL_S", 0.4)
    return tmp_path / "cache/squib/kvm-trials.json"


def qemu(folder: Path, program: str) -> Path:
    path = folder / "qemu"
    counted = f"open({str(folder / 'calls')!r}, 'a').write('x')\n{program}\n"
    path.write_text(f"#!{sys.executable} -IS\n{counted}", encoding="utf-8")
    path.chmod(0o755)
    return path


def calls(folder: Path) -> int:
    return (folder / "calls").stat().st_size


def decide(wanted: Accel | None, program: Path, device: KvmDevice = GOOD, sha256: str = "aa") -> VmmChoice:
    return choose(wanted, kernel=KERNEL, kernel_sha256=sha256, program=program, device=device)


def test_emulation_is_never_tried() -> None:
    assert decide(Accel.TCG, Path("/none")) == VmmChoice(Accel.TCG, "emulation (TCG), as asked for")


@pytest.mark.parametrize("wanted", [None, Accel.KVM])
def test_a_kernel_that_speaks(tmp_path: Path, wanted: Accel | None) -> None:
    program = qemu(tmp_path, SPEAKS)
    choice = decide(wanted, program)
    assert choice.accel is Accel.KVM
    assert "spoke after" in choice.reason
    assert "kvm_intel" in choice.reason
    assert list((tmp_path / "cache/squib").iterdir()) == [tmp_path / "cache/squib/kvm-trials.json"]


@pytest.mark.parametrize(("program", "why"), [(SILENT, "showed nothing in"), (DIES, "QEMU died in a trial boot")])
def test_a_kernel_that_does_not(tmp_path: Path, program: str, why: str) -> None:
    path = qemu(tmp_path, program)
    choice = decide(None, path, SOFTWARE)
    assert choice.accel is Accel.TCG
    assert why in choice.reason
    assert "kvm_pvm, no hardware behind it" in choice.reason
    with pytest.raises(UnavailableError, match=why) as caught:
        decide(Accel.KVM, path, SOFTWARE)
    assert "--accel tcg" in caught.value.hint
    assert ("Assertion" in caught.value.detail) is (program is DIES)
    assert calls(tmp_path) == 1


def test_what_is_kept_and_what_is_tried_anew(tmp_path: Path, cache: Path) -> None:
    program = qemu(tmp_path, DIES)
    decide(None, program)
    decide(None, program)
    assert calls(tmp_path) == 1
    decide(None, program, sha256="bb")
    assert calls(tmp_path) == 2
    program.touch()
    decide(None, program, sha256="bb")
    assert calls(tmp_path) == 3
    assert cache.stat().st_mode & 0o777 == 0o600
    cache.write_bytes(b"{damaged")
    decide(None, program, sha256="bb")
    assert calls(tmp_path) == 4


def test_the_trial_leaves_nothing_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders: list[Path] = []

    def remember(folder: Path) -> Path:
        folders.append(folder)
        return make_run_dir(folder)

    monkeypatch.setattr(kvm_trial, "make_run_dir", remember)
    assert not try_boot(trial_boot(KERNEL, Accel.KVM, program=qemu(tmp_path, SILENT)), timeout=0.2).works
    assert folders
    assert not folders[0].exists()
    assert working_in(folders[0]) == ()


def test_no_device(tmp_path: Path) -> None:
    device = kvm.look(tmp_path / "kvm", tmp_path)
    assert device.problem == f"there is no {tmp_path / 'kvm'}"
    assert decide(None, Path("/none"), device).reason == f"emulation (TCG), because {device.problem}"
    with pytest.raises(UnavailableError, match="KVM does not work here: there is no"):
        decide(Accel.KVM, Path("/none"), device)


def test_a_device_that_is_something_else(tmp_path: Path) -> None:
    assert "is not a KVM device" in kvm.look(Path("/dev/null"), tmp_path).problem


def test_a_device_for_others_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "no")

    monkeypatch.setattr("os.open", refuse)
    device = kvm.look(tmp_path / "kvm", tmp_path)
    assert "may not open" in device.problem
    assert "setfacl" in device.hint


def test_the_driver(tmp_path: Path) -> None:
    for name, hardware in (("kvm_pvm", False), ("kvm_amd", True)):
        (tmp_path / name).mkdir()
        device = kvm.look(Path("/dev/null"), tmp_path)
        assert (device.module, device.hardware) == (name, hardware)
