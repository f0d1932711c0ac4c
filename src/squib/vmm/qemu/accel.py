"""KVM or emulation: decided by evidence (`squib.vmm.kvm_trial`), in at most 3 seconds, and said in one plain sentence."""

from __future__ import annotations

from pathlib import Path

from squib.errors import UnavailableError
from squib.host import kvm
from squib.host.kvm import KvmDevice
from squib.model.machine import Accel, VmmChoice
from squib.vmm import kvm_trial
from squib.vmm.kvm_trial import Trial, TrialBoot
from squib.vmm.qemu.argv import trial_argv

__all__ = ["choose", "trial", "trial_boot"]


def choose(
    wanted: Accel | None, *, kernel: Path, kernel_sha256: str, program: Path, device: KvmDevice | None = None
) -> VmmChoice:
    """`wanted` is None for `auto`. `device` is for tests. Raises UnavailableError where KVM was wanted and does not work."""
    if wanted is Accel.TCG:
        return VmmChoice(Accel.TCG, "emulation (TCG), as asked for")
    found = kvm.look() if device is None else device
    if found.problem:
        return _without_kvm(wanted, found.problem, found.hint)
    outcome = trial(kernel, kernel_sha256, program)
    told = kvm_trial.evidence(outcome, found)
    if outcome.works:
        return VmmChoice(Accel.KVM, f"KVM, because {told}")
    return _without_kvm(wanted, told, "use --accel tcg, or a host with hardware virtualisation", outcome.said)


def _without_kvm(wanted: Accel | None, why: str, hint: str, said: str = "") -> VmmChoice:
    if wanted is Accel.KVM:
        raise UnavailableError(
            f"KVM does not work here: {why}", hint=hint or "use --accel tcg, which works everywhere", detail=said
        )
    return VmmChoice(Accel.TCG, f"emulation (TCG), because {why}")


def trial(kernel: Path, kernel_sha256: str, program: Path) -> Trial:
    """What came of booting `kernel` under KVM by the QEMU at `program`."""
    return kvm_trial.trial(lambda: trial_boot(kernel, Accel.KVM, program=program), kernel_sha256, program)


def trial_boot(kernel: Path, accel: Accel, *, program: Path) -> TrialBoot:
    """How QEMU boots `kernel` alone."""
    return TrialBoot("QEMU", program, trial_argv(kernel, accel, program=program))
