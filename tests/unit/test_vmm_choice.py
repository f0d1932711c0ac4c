"""Which VMM a run gets: made-up VMMs and KVMs, and the sentence that says why."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from squib.errors import SquibError, UnavailableError, UsageError
from squib.host.kvm import KvmDevice
from squib.model.machine import Accel, VmmKind
from squib.model.run import RunSpec
from squib.vmm import kvm_trial
from squib.vmm.choice import Programs, choose, look_ahead

GOOD = KvmDevice("", "", "kvm_intel")
NONE = KvmDevice("there is no /dev/kvm", "switch it on", "")
TAP = ("tap0", "AA:FC:00:00:00:01")
# A VMM for trials: as QEMU it writes the console itself, as Firecracker to standard output.
SPEAKS = "open('console.log', 'a').write('[    0.000000] Linux version 6.1.0\\n'); import signal; signal.pause()"
SILENT = "import signal; signal.pause()"
DIES = "import sys; sys.exit('no such thing')"


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(kvm_trial, "TRIAL_S", 0.4)


def program(path: Path, text: str) -> Path:
    path.write_text(f"#!{sys.executable} -IS\n{text}\n")
    path.chmod(0o755)
    return path


def programs(folder: Path, device: KvmDevice = GOOD, *, qemu: str = SPEAKS, firecracker: str | None = SPEAKS) -> Programs:
    vmm = program(folder / "qemu", qemu)
    return Programs(lambda: vmm, None if firecracker is None else program(folder / "firecracker", firecracker), device)


def decide(spec: RunSpec, found: Programs) -> tuple[VmmKind, Accel, str]:
    choice = choose(spec, Path("/k"), "aa", found)
    return choice.vmm, choice.accel, choice.reason


def test_without_a_tap_it_is_qemu(tmp_path: Path) -> None:
    vmm, accel, why = decide(RunSpec(), programs(tmp_path))
    assert (vmm, accel) == (VmmKind.QEMU, Accel.KVM)
    assert why.endswith("; not in Firecracker, because that needs a tap device (--tap)")
    assert "Firecracker" not in decide(RunSpec(), programs(tmp_path, firecracker=None))[2]
    assert decide(RunSpec(), programs(tmp_path, NONE)) == (
        VmmKind.QEMU,
        Accel.TCG,
        "emulation (TCG), because there is no /dev/kvm",
    )
    assert "Firecracker" not in decide(RunSpec(vmm=VmmKind.QEMU), programs(tmp_path))[2]


def test_with_a_tap_it_is_firecracker_where_kvm_works(tmp_path: Path) -> None:
    vmm, accel, why = decide(RunSpec(tap=TAP), programs(tmp_path, qemu=DIES))
    assert (vmm, accel) == (VmmKind.FIRECRACKER, Accel.KVM)
    assert why.startswith("KVM, in Firecracker for its tap device, because a trial boot of this kernel spoke after")
    assert "kvm_intel" in why


def test_the_trial_is_kept_for_each_vmm(tmp_path: Path) -> None:
    counted = f"open({str(tmp_path / 'calls')!r}, 'a').write('x'); "
    found = programs(tmp_path, qemu=counted + SPEAKS, firecracker=counted + SPEAKS)
    for spec in (RunSpec(), RunSpec(tap=TAP)) * 2:
        decide(spec, found)
    assert (tmp_path / "calls").read_text() == "xx"


@pytest.mark.parametrize(
    ("spec", "device", "firecracker", "kind", "message", "hint"),
    [
        (RunSpec(tap=TAP), GOOD, None, UnavailableError, "there is no Firecracker here", "squib fetch firecracker"),
        (RunSpec(tap=TAP), NONE, SPEAKS, UnavailableError, "needs KVM: there is no /dev/kvm", "switch it on"),
        (RunSpec(tap=TAP), GOOD, SILENT, UnavailableError, "/dev/kvm is there, but a trial boot of this kernel showed nothing in 0.4 s", "--vmm firecracker"),
        (RunSpec(tap=TAP), GOOD, DIES, UnavailableError, "Firecracker died in a trial boot", "leave --tap out"),
        (RunSpec(tap=TAP, accel=Accel.TCG), GOOD, SPEAKS, UsageError, "a tap device, .* needs KVM", "leave one"),
        (RunSpec(vmm=VmmKind.FIRECRACKER), GOOD, None, UnavailableError, "there is no Firecracker here", "squib fetch firecracker"),
        (RunSpec(vmm=VmmKind.FIRECRACKER, accel=Accel.TCG), GOOD, SPEAKS, UsageError, "Firecracker needs KVM", "leave one"),
    ],
)  # fmt: skip
def test_what_cannot_be(
    tmp_path: Path, spec: RunSpec, device: KvmDevice, firecracker: str | None, kind: type[SquibError], message: str, hint: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        decide(spec, programs(tmp_path, device, firecracker=firecracker))
    assert hint in caught.value.hint
    assert ("no such thing" in caught.value.detail) is (firecracker is DIES)


def absent() -> Path:
    raise UnavailableError("no QEMU here")


@pytest.mark.parametrize(
    ("spec", "firecracker", "message"),
    [
        (RunSpec(), "/bin/true", "no QEMU here"),
        (RunSpec(vmm=VmmKind.QEMU), "/bin/true", "no QEMU here"),
        (RunSpec(tap=TAP), "/bin/true", ""),
        (RunSpec(tap=TAP), "", "there is no Firecracker here"),
        (RunSpec(vmm=VmmKind.FIRECRACKER), "/bin/true", ""),
        (RunSpec(vmm=VmmKind.FIRECRACKER), "", "there is no Firecracker here"),
    ],
)
def test_a_program_that_is_not_here_is_missed_before_anything_is_built(spec: RunSpec, firecracker: str, message: str) -> None:
    found = Programs(absent, Path(firecracker) if firecracker else None)
    with pytest.raises(UnavailableError, match=message) if message else nullcontext():
        look_ahead(spec, found)


def test_firecracker_by_name_is_not_tried_before(tmp_path: Path) -> None:
    vmm, accel, why = decide(RunSpec(vmm=VmmKind.FIRECRACKER), programs(tmp_path, NONE, qemu=DIES, firecracker=DIES))
    assert (vmm, accel) == (VmmKind.FIRECRACKER, Accel.KVM)
    assert "asked for" in why
