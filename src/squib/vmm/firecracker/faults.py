"""What Firecracker's refusals and deaths mean, and what to do: one clear error for each, with its own words."""

from __future__ import annotations

import re
import shlex

from squib.errors import (
    ApplianceError,
    HostError,
    MissingError,
    PermissionDeniedError,
    SquibError,
    TakenError,
    UnavailableError,
    UsageError,
)
from squib.host import kvm, tap
from squib.host.kvm import KvmDevice
from squib.model.image import rebuild_hint
from squib.vmm.firecracker.api_client import ApiRefusedError

__all__ = ["explain_death", "explain_refusal", "kvm_failed", "suspicion"]

_REQUESTS = "squib run --show requests shows all that it is asked for"

_FAULTS: tuple[tuple[tuple[str, ...], type[SquibError], str, str], ...] = (
    (
        ("Cannot load kernel",),
        ApplianceError,
        "Firecracker cannot load this kernel",
        "it takes an ELF vmlinux for x86-64, which squib build makes of any kernel; or the memory is too small for it",
    ),
    (("Cannot load initrd",), UsageError, "the initrd does not fit into the memory", "give it more: --memory 256M"),
    (
        ("kernel file cannot be opened", "Permission denied"),
        PermissionDeniedError,
        "Firecracker may not read the kernel",
        "see who may: ls -l",
    ),
    (("kernel file cannot be opened",), MissingError, "the kernel is missing", rebuild_hint()),
    (("initrd file cannot be opened",), MissingError, "the initrd cannot be opened", rebuild_hint()),
    (
        ("Drive config error", "Permission denied"),
        PermissionDeniedError,
        "Firecracker may not open a drive",
        "see which one above; one that the guest writes must be writable",
    ),
    (
        ("Drive config error", "No such file"),
        MissingError,
        "a drive of the machine is missing",
        rebuild_hint(),
    ),
    (
        ("Open tap device failed", "busy"),
        TakenError,
        "the tap device is in use by another machine",
        "squib ps shows which; or make another one: {another}",
    ),
    (
        ("Open tap device failed", "not permitted"),
        PermissionDeniedError,
        "this user may not use the tap device",
        "make it anew for this user: sudo ip link del {name}; {make}",
    ),
    (
        ("Open tap device failed",),
        HostError,
        "the tap device cannot be used",
        "see what it is: ip -details link show; and that /dev/net/tun opens: squib doctor",
    ),
    (
        ("binding to the host-side Unix socket", "in use"),
        TakenError,
        "the vsock's Unix socket is there already",
        "where no machine uses it any more, remove it",
    ),
    (("Cannot allocate memory",), HostError, "this host has not enough memory for the machine", "give it less: --memory 128M"),
)
"""What the reason holds, all of it; which error that is; what it means; what to do ({make}, {another}: commands for taps)."""

_TAP = re.compile(r"TUN/TAP Backend provided by (?P<name>[!-~]{1,15})\. ")
_KVM_FAULT = re.compile(r"^\S+ \[[^\]\n]*fc_vcpu \d+[^\]\n]*\] Received KVM_EXIT_INTERNAL_ERROR", re.MULTILINE)
"""What Firecracker's log says when KVM gave a guest up (vmm/src/vstate/vcpu.rs). It ends with status 1 then, or sometimes 0."""
_INSTEAD = "use --vmm qemu, or a host with hardware virtualisation"

_EXITS = {
    148: "a system call that its seccomp filter forbids",
    149: "SIGBUS: the host may be out of memory, or a drive was cut short",
    150: "SIGSEGV",
    151: "SIGXFSZ: a file got too long",
    156: "SIGHUP",
    157: "SIGILL",
}
_GENERIC_ERROR = 1
"""Firecracker's own exit codes (vmm/src/lib.rs, FcExitCode); the last is the one that KVM's failures have too."""

_JAILER = re.compile(r"^Jailer error: (.*)", re.MULTILINE)
"""Firecracker's jailer/src/main.rs."""


def explain_refusal(refusal: ApiRefusedError, log: str, *, device: KvmDevice | None = None) -> SquibError:
    """The error that `refusal` stands for; `log` is what Firecracker said beside it. `device` is for tests."""
    detail = f"{refusal.request.method} {refusal.request.path}: {refusal.fault}"
    named = _TAP.search(refusal.fault)
    name = named["name"] if named else "tap0"
    if "KVM" in refusal.fault or "/dev/kvm" in refusal.fault:
        return _explain_kvm(detail, kvm.look() if device is None else device)
    for signs, kind, meaning, hint in _FAULTS:
        if all(sign in refusal.fault for sign in signs):
            remedy = hint.format(name=shlex.quote(name), make=tap.setup_command(name), another=tap.setup_another())
            return kind(meaning, hint=remedy, detail=detail)
    return HostError(str(refusal), hint=_REQUESTS, detail=log)


def _explain_kvm(detail: str, device: KvmDevice) -> SquibError:
    if device.problem:
        kind = PermissionDeniedError if "setfacl" in device.hint else UnavailableError
        return kind(f"Firecracker needs KVM: {device.problem}", hint=device.hint or "use --vmm qemu", detail=detail)
    return UnavailableError(
        f"KVM refuses to make a machine for Firecracker (driver {device.module or 'unknown'})", hint=_INSTEAD, detail=detail
    )


def kvm_failed(said: str) -> bool:
    """Whether Firecracker said, in `said`, that KVM gave its guest up."""
    return _KVM_FAULT.search(said) is not None


def suspicion(said: str, device: KvmDevice | None = None) -> str:
    """Why KVM is what ended Firecracker, or keeps its guest from speaking; empty where nothing speaks for that.

    `said`: what Firecracker wrote of itself. `device` is for tests.
    """
    found = kvm.look() if device is None else device
    driver = f"driver {found.module or 'unknown'}{'' if found.hardware else ', no hardware behind it'}"
    if kvm_failed(said):
        return f"KVM failed ({driver})"
    return "" if found.hardware else f"KVM may be of no use here ({driver})"


def explain_death(
    step: str, status: int | None, said: str, *, seen: str = "", guest_ran: bool = False, device: KvmDevice | None = None
) -> SquibError:
    """Firecracker, or its jailer, ended while `step` was asked of it; `status` as subprocess has it.

    `guest_ran`: the guest was started before. `said`: what it or its guest wrote; `seen`: the same, which the person has seen
    already. `device` is for tests.
    """
    if (jailer := _JAILER.search(said)) is not None:
        return HostError(f"the jailer failed: {jailer[1]}", hint="docs/host.md says what it needs", detail=said)
    match status:
        case None:
            how = "ended"
        case number if number < 0:
            how = f"was killed by signal {-number}"
        case number:
            how = f"ended with exit status {number}{f' ({_EXITS[number]})' if number in _EXITS else ''}"
    what = f"Firecracker {how} while it was asked to {step}"
    told = f"{said}\n{seen}"
    if (kvm_failed(told) or (guest_ran and status == _GENERIC_ERROR)) and (why := suspicion(told, device)):
        return HostError(f"{what}: {why}", hint=_INSTEAD, detail=said)
    hint = "what it said is above; see whether the host ended it: dmesg | tail" if said else "dmesg | tail may say more"
    return HostError(what, hint=hint, detail=said)
