"""What a person asks of `squib vm`: firectl's words as values. None: not said, so as the file or the default has it.

Paths are kept as they were typed: Firecracker takes them from the folder in which it is started, and so does a printed
configuration.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from squib.errors import UsageError
from squib.model.units import parse_mem_size_mib

__all__ = [
    "DEFAULT_KERNEL",
    "DEFAULT_KERNEL_OPTS",
    "DEFAULT_LOG_LEVEL",
    "DEFAULT_MEM_SIZE_MIB",
    "DEFAULT_VCPU_COUNT",
    "DriveWord",
    "TapWord",
    "VmSpec",
    "VsockWord",
    "parse_add_drive",
    "parse_memory",
    "parse_root_drive",
    "parse_tap_device",
    "parse_vsock_device",
]

DEFAULT_KERNEL = "./vmlinux"
DEFAULT_KERNEL_OPTS = "ro console=ttyS0 reboot=k panic=1 pci=off"
"""firectl's without two words. `noapic`: a kernel that finds Firecracker's devices by ACPI gets no interrupts for them then.

`nomodules`: the kernel knows no such parameter, and hands it to init as an argument.
"""
DEFAULT_VCPU_COUNT = 1
DEFAULT_MEM_SIZE_MIB = 512
DEFAULT_LOG_LEVEL = "Debug"

_MAC = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}")
_DEVICE = re.compile(r"[!-.0-~]{1,15}")
_CID = re.compile(r"[0-9]{1,10}")
_MAX_CID = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class DriveWord:
    """A block device: the file behind it."""

    path: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class TapWord:
    """A network card of the guest's on the host's tap `device`; without `mac` Firecracker leaves the guest to choose one."""

    device: str
    mac: str | None


@dataclass(frozen=True, slots=True)
class VsockWord:
    """A vsock device with the guest's `cid`, behind the Unix socket `path`."""

    path: str
    cid: int


@dataclass(frozen=True, slots=True)
class VmSpec:
    """The machine as the flags say it. `metadata` is a JSON object in one line."""

    kernel: str | None = None
    kernel_opts: str | None = None
    initrd_path: str | None = None
    root_drive: DriveWord | None = None
    root_partition: str | None = None
    add_drives: tuple[DriveWord, ...] = ()
    tap_devices: tuple[TapWord, ...] = ()
    vsock_device: VsockWord | None = None
    log_path: str | None = None
    log_level: str | None = None
    metrics_path: str | None = None
    vcpu_count: int | None = None
    mem_size_mib: int | None = None
    smt: bool | None = None
    cpu_template: Literal["C3", "T2", "T2S", "T2CL", "T2A", "None"] | None = None
    metadata: str | None = None
    mmds_version: Literal["V1", "V2"] | None = None


def parse_root_drive(text: str) -> DriveWord:
    """`PATH`, `PATH:rw` or `PATH:ro`. Raises UsageError."""
    path, read_only = _suffix(text)
    return _drive(text, path, read_only=bool(read_only))


def parse_add_drive(text: str) -> DriveWord:
    """`PATH:rw` or `PATH:ro`; which of both must be said. Raises UsageError."""
    path, read_only = _suffix(text)
    if read_only is None:
        raise UsageError(f"{text!r} does not say whether the guest may write the drive", hint=f"--add-drive {text}:ro, or :rw")
    return _drive(text, path, read_only=read_only)


def _suffix(text: str) -> tuple[str, bool | None]:
    if text.endswith(":ro"):
        return text.removesuffix(":ro"), True
    if text.endswith(":rw"):
        return text.removesuffix(":rw"), False
    return text, None


def _drive(text: str, path: str, *, read_only: bool) -> DriveWord:
    if not path:
        raise UsageError(f"{text!r} names no file for the drive", hint="write PATH, PATH:ro or PATH:rw")
    return DriveWord(path, read_only)


def parse_tap_device(text: str) -> TapWord:
    """`DEVICE/MAC`, or `DEVICE` alone. Raises UsageError."""
    device, slash, mac = text.partition("/")
    hint = "write DEVICE/MAC, as in tap0/AA:FC:00:00:00:01"
    if not _DEVICE.fullmatch(device):
        raise UsageError(f"{text!r}: {device!r} is not the name of a network device", hint=hint)
    if not slash:
        return TapWord(device, None)
    if not _MAC.fullmatch(mac):
        raise UsageError(f"{text!r}: {mac!r} is not a MAC address", hint=hint)
    if int(mac[:2], 16) & 1:
        raise UsageError(f"{text!r}: {mac} is a multicast address, which no device may have", hint="make its first byte even")
    return TapWord(device, mac)


def parse_vsock_device(text: str) -> VsockWord:
    """`PATH:CID`. Raises UsageError."""
    path, _, cid = text.rpartition(":")
    hint = "write PATH:CID, as in ./v.sock:3"
    if not path or not _CID.fullmatch(cid):
        raise UsageError(f"{text!r} is not a vsock device", hint=hint)
    if not 3 <= int(cid) <= _MAX_CID:
        raise UsageError(f"{text!r}: a guest's CID is 3 to {_MAX_CID:,}", hint=hint)
    return VsockWord(path, int(cid))


def parse_memory(text: str) -> int:
    """Mebibytes as a bare number, as firectl has it, or a size as in `1G`. Raises UsageError."""
    if re.fullmatch(r"[0-9]+", text):
        text = f"{text}M"
    return parse_mem_size_mib(text)
