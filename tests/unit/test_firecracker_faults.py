"""What Firecracker's own words become: one error with its remedy. The words were taken from Firecracker 1.12.1."""

from __future__ import annotations

import pytest

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
from squib.host.kvm import KvmDevice
from squib.vmm.firecracker.api_client import ApiRefusedError
from squib.vmm.firecracker.faults import explain_death, explain_refusal, kvm_failed
from squib.wire.firecracker.requests import action

TAP = (
    "Network config error: Could not create the network device: Open tap device failed: Error while creating ifreq structure: "
)
TAP_END = ". Invalid TUN/TAP Backend provided by tap0. Check our documentation on setting up the network devices."
KVM = "Start microvm error: Kvm error: Error creating KVM object: {} Make sure the user launching the firecracker process is configured on the /dev/kvm file's ACL."
SOFTWARE, HARDWARE = KvmDevice("", "", "kvm_pvm"), KvmDevice("", "", "kvm_amd")


def explained(fault: str, device: KvmDevice = SOFTWARE) -> SquibError:
    return explain_refusal(ApiRefusedError(action("InstanceStart"), 400, fault), "the log", device=device)


@pytest.mark.parametrize(
    ("fault", "kind", "message", "hint"),
    [
        ("Start microvm error: System configuration error: Cannot load kernel due to invalid memory configuration or invalid kernel image: Kernel Loader: failed to load ELF kernel image: Kernel Loader: Invalid Elf magic number", ApplianceError, "cannot load this kernel", "ELF vmlinux"),
        ("Boot source error: The kernel file cannot be opened: No such file or directory (os error 2)", MissingError, "kernel is missing", "squib build"),
        ("Boot source error: The kernel file cannot be opened: Permission denied (os error 13)", PermissionDeniedError, "may not read the kernel", "ls -l"),
        ("Drive config error: Unable to create the virtio block device: Virtio backend error: Error manipulating the backing file: No such file or directory (os error 2) /nope", MissingError, "a drive of the machine is missing", "squib build"),
        ("Drive config error: Unable to create the virtio block device: Virtio backend error: Error manipulating the backing file: Permission denied (os error 13) /r", PermissionDeniedError, "may not open a drive", "writable"),
        (f"{TAP}Device or resource busy (os error 16){TAP_END}", TakenError, "in use by another machine", "squib host setup --user"),
        (f"{TAP}Operation not permitted (os error 1){TAP_END}", PermissionDeniedError, "may not use the tap device", 'sudo ip link del tap0; sudo squib host setup --user "$USER" --tap tap0'),
        (f"{TAP}Invalid argument (os error 22){TAP_END}", HostError, "cannot be used", "ip -details"),
        ("Vsock config error: Cannot create backend for vsock device: Error binding to the host-side Unix socket: Address in use (os error 98)", TakenError, "vsock's Unix socket is there", "remove it"),
        ("Something new.", HostError, r"refused PUT /actions \(400\): Something new\.", "--show requests"),
    ],
)  # fmt: skip
def test_refusals(fault: str, kind: type[SquibError], message: str, hint: str) -> None:
    error = explained(fault)
    assert type(error) is kind
    with pytest.raises(kind, match=message):
        raise error
    assert hint in error.hint
    assert fault in error.detail or error.detail == "the log"


def test_kvm() -> None:
    missing = KvmDevice("there is no /dev/kvm", "switch on virtualisation in the firmware", "")
    denied = KvmDevice("this user may not open /dev/kvm", "sudo setfacl -m u:$USER:rw /dev/kvm", "kvm_amd")
    for device, fault, kind, message in (
        (missing, "No such file or directory (os error 2)", UnavailableError, "needs KVM: there is no /dev/kvm"),
        (denied, "Permission denied (os error 13)", PermissionDeniedError, "needs KVM: this user may not open"),
        (SOFTWARE, "Inappropriate ioctl for device (os error 25)", UnavailableError, r"\(driver kvm_pvm\)"),
    ):
        error = explained(KVM.format(fault), device)
        assert type(error) is kind
        with pytest.raises(kind, match=message):
            raise error
        assert error.hint == (device.hint or "use --vmm qemu, or a host with hardware virtualisation")
        assert fault in error.detail


def test_memory() -> None:
    error = explained("Start microvm error: Cannot create memory: Cannot allocate memory (os error 12)")
    assert isinstance(error, HostError)
    assert not isinstance(error, UsageError)
    assert "--memory" in error.hint


@pytest.mark.parametrize(
    ("status", "how"),
    [
        (None, "Firecracker ended while it was asked to PUT /x"),
        (-9, "was killed by signal 9"),
        (1, "ended with exit status 1 while"),
        (148, r"ended with exit status 148 \(a system call that its seccomp filter forbids\)"),
    ],
)
def test_deaths(status: int | None, how: str) -> None:
    with pytest.raises(HostError, match=how) as caught:
        raise explain_death("PUT /x", status, "its words", device=HARDWARE)
    assert caught.value.detail == "its words"
    assert "dmesg" in caught.value.hint


KVM_FAULT = "2026-11-24T18:45:25.903990261 [anonymous-instance:fc_vcpu 0] Received KVM_EXIT_INTERNAL_ERROR signal"


@pytest.mark.parametrize(
    ("status", "said", "seen", "device", "why"),
    [
        (1, KVM_FAULT, "", SOFTWARE, "boot the guest: KVM failed (driver kvm_pvm, no hardware behind it)"),
        (0, f"Error: x\n{KVM_FAULT}", "", HARDWARE, "boot the guest: KVM failed (driver kvm_amd)"),
        (1, "", KVM_FAULT, HARDWARE, "boot the guest: KVM failed (driver kvm_amd)"),
        (1, "", "", SOFTWARE, "boot the guest: KVM may be of no use here (driver kvm_pvm, no hardware behind it)"),
    ],
)
def test_a_death_by_kvm_names_it(status: int, said: str, seen: str, device: KvmDevice, why: str) -> None:
    error = explain_death("boot the guest", status, said, seen=seen, guest_ran=True, device=device)
    assert type(error) is HostError
    assert str(error).endswith(why)
    assert (error.hint, error.detail) == ("use --vmm qemu, or a host with hardware virtualisation", said)


def test_a_death_by_others_does_not_name_kvm() -> None:
    for status in (None, -9, 148):
        assert "KVM" not in str(explain_death("boot the guest", status, "", guest_ran=True, device=SOFTWARE))
    assert not kvm_failed("a guest that prints [x:fc_vcpu 0] Received KVM_EXIT_INTERNAL_ERROR signal")
    assert "KVM" not in str(explain_death("listen on its socket", 1, "FailedToBindSocket", device=SOFTWARE))
