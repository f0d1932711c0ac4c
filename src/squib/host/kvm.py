"""What this host says of its virtualisation hardware. Supporting evidence only: a device that opens may still be useless.

Whether KVM runs guests is decided by a trial boot (`squib.vmm.qemu.accel`): a /dev/kvm without VMX or SVM behind it (nested
or software-only hosts) opens and answers like any other.
"""

from __future__ import annotations

import errno
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["KvmDevice", "look"]

_KVM_GET_API_VERSION = 0xAE00
_KVM_API_VERSION = 12  # the only one since Linux 2.6.22 (Documentation/virt/kvm/api.rst, 4.1)


@dataclass(frozen=True, slots=True)
class KvmDevice:
    """`problem`: why the device is of no use, empty where it opens and answers; `hint`: the remedy, where there is one.

    `module`: what drives it ("kvm_intel", "kvm_amd", another kvm_*), empty where it cannot be told.
    """

    problem: str
    hint: str
    module: str

    @property
    def hardware(self) -> bool:
        """Whether one of the two drivers of hardware virtualisation is loaded."""
        return self.module in {"kvm_intel", "kvm_amd"}


def look(device: Path = Path("/dev/kvm"), modules: Path = Path("/sys/module")) -> KvmDevice:
    """Opens the device, asks its version, closes it. Never raises."""
    module = _module(modules)
    try:
        descriptor = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return KvmDevice(*_explain(device, error), module)
    try:
        version = fcntl.ioctl(descriptor, _KVM_GET_API_VERSION)
    except OSError:
        return KvmDevice(f"{device} is not a KVM device", "", module)
    finally:
        os.close(descriptor)
    if version != _KVM_API_VERSION:
        return KvmDevice(f"{device} speaks KVM API {version}, not {_KVM_API_VERSION}", "", module)
    return KvmDevice("", "", module)


def _explain(device: Path, error: OSError) -> tuple[str, str]:
    match error.errno:
        case errno.ENOENT:
            return (
                f"there is no {device}",
                "switch on virtualisation in the firmware (or nested virtualisation), and load kvm_intel or kvm_amd",
            )
        case errno.EACCES | errno.EPERM:
            return f"this user may not open {device}", f"sudo setfacl -m u:$USER:rw {device}"
        case errno.ENXIO | errno.ENODEV:
            return f"nothing is behind {device}", "load kvm_intel or kvm_amd: sudo modprobe kvm_intel"
        case _:
            return f"{device} does not open: {error.strerror}", ""


def _module(modules: Path) -> str:
    """The loaded kvm_* driver; where there are several, the hardware's."""
    names = sorted(path.name for path in modules.glob("kvm_*"))
    for name in ("kvm_intel", "kvm_amd"):
        if name in names:
            return name
    return names[0] if names else ""
