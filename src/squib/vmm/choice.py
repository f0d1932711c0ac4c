"""Which VMM a run gets: what was asked for, else what its network needs and what works here; said in one sentence.

- A tap device is what only Firecracker is given, and Firecracker needs KVM. So a run with one goes to Firecracker where a trial
  boot by it shows that KVM works, and nowhere else.
- Without one, ports are published without any privilege: that is QEMU, by KVM or by emulation.
- Firecracker by name is not tried before: it is what was asked for, and a boot without progress ends at its deadline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from squib.errors import UnavailableError, UsageError
from squib.host import kvm
from squib.host.kvm import KvmDevice
from squib.model.machine import Accel, VmmChoice, VmmKind
from squib.model.run import RunSpec
from squib.vmm import kvm_trial
from squib.vmm.firecracker.binaries import checked
from squib.vmm.firecracker.configuration import trial_boot
from squib.vmm.qemu import accel

__all__ = ["Programs", "choose", "look_ahead"]

_FETCH = "squib fetch firecracker"


@dataclass(frozen=True, slots=True)
class Programs:
    """`qemu` finds it, or raises UnavailableError; `firecracker` is None where there is none. `device` is for tests."""

    qemu: Callable[[], Path]
    firecracker: Path | None
    device: KvmDevice | None = None


def choose(spec: RunSpec, kernel: Path, kernel_sha256: str, programs: Programs) -> VmmChoice:
    """Raises UsageError for what contradicts itself, UnavailableError where what is needed is not here."""
    if spec.vmm is VmmKind.FIRECRACKER:
        _needs_kvm(spec, "Firecracker")
        _present(programs.firecracker)
        return VmmChoice(Accel.KVM, "KVM, the only way that Firecracker, which was asked for, has", VmmKind.FIRECRACKER)
    if spec.tap is not None:
        _needs_kvm(spec, "a tap device, which goes with Firecracker,")
        return _by_trial(kernel, kernel_sha256, programs)
    choice = accel.choose(
        spec.accel, kernel=kernel, kernel_sha256=kernel_sha256, program=programs.qemu(), device=programs.device
    )
    if spec.vmm is None and choice.accel is Accel.KVM and programs.firecracker is not None:
        return replace(choice, reason=f"{choice.reason}; not in Firecracker, because that needs a tap device (--tap)")
    return choice


def look_ahead(spec: RunSpec, programs: Programs) -> None:
    """Raises UnavailableError where the program that `spec` needs in any case is not here: before time goes into a kernel."""
    if spec.vmm is VmmKind.FIRECRACKER or spec.tap is not None:
        _present(programs.firecracker)
    else:
        programs.qemu()


def _by_trial(kernel: Path, kernel_sha256: str, programs: Programs) -> VmmChoice:
    program = _present(programs.firecracker)
    device = kvm.look() if programs.device is None else programs.device
    if device.problem:
        raise UnavailableError(f"a tap device goes with Firecracker, which needs KVM: {device.problem}", hint=device.hint)
    outcome = kvm_trial.trial(lambda: trial_boot(kernel, program=checked(program)), kernel_sha256, program)
    told = kvm_trial.evidence(outcome, device)
    if not outcome.works:
        raise UnavailableError(
            f"a tap device goes with Firecracker, and KVM does not work here: {told}",
            hint="leave --tap out: QEMU needs none; or insist with --vmm firecracker",
            detail=outcome.said,
        )
    return VmmChoice(Accel.KVM, f"KVM, in Firecracker for its tap device, because {told}", VmmKind.FIRECRACKER)


def _needs_kvm(spec: RunSpec, who: str) -> None:
    if spec.accel is Accel.TCG:
        raise UsageError(f"{who} needs KVM: emulation (--accel tcg) is QEMU's", hint="leave one of them out")


def _present(firecracker: Path | None) -> Path:
    if firecracker is None:
        raise UnavailableError("there is no Firecracker here", hint=_FETCH)
    return firecracker
