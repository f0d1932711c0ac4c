"""A virtual machine as intent (`MachineConfig`) and as observation (`VmState`): two values that never mix."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface, IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from squib.errors import UsageError
from squib.model.jail import Jail
from squib.model.network import Tap

if TYPE_CHECKING:
    from squib.model.namespace_network import NamespaceNetwork

__all__ = [
    "MACHINE_NAME",
    "Accel",
    "Drive",
    "EndedBy",
    "Held",
    "Interface",
    "MachineConfig",
    "Mmds",
    "PortForward",
    "UserNetwork",
    "VmState",
    "VmmChoice",
    "VmmKind",
    "VmmLog",
    "Vsock",
    "check_machine_name",
]

MACHINE_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"
"""A regular expression of the names that a machine may have."""
_NAME = re.compile(MACHINE_NAME)


class Accel(StrEnum):
    """How guest code runs: on the processor itself (KVM) or by emulation (TCG)."""

    KVM = "kvm"
    TCG = "tcg"


class VmmKind(StrEnum):
    """The virtual machine monitors that squib drives."""

    QEMU = "qemu"
    FIRECRACKER = "firecracker"


@dataclass(frozen=True, slots=True)
class VmmChoice:
    """What to run with, and why, as one sentence for people."""

    accel: Accel
    reason: str
    vmm: VmmKind = VmmKind.QEMU


class VmState(StrEnum):
    """What was last seen of a machine."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    EXITED = "exited"
    FAILED = "failed"

    @property
    def over(self) -> bool:
        """Whether nothing of it runs any more."""
        return self in {VmState.EXITED, VmState.FAILED}


class EndedBy(StrEnum):
    """What ended a machine: who to look at when it should not have."""

    STOP = "stop"
    """The guest did, because it was asked to."""
    SERVER = "server"
    """Its server: it was done, has a wrong option, cannot load the appliance, or died too often."""
    GUEST = "guest"
    """Its kernel or its init."""
    VMM = "vmm"
    """The virtual machine monitor, without a word of the guest."""
    FORCE = "force"
    """squib, because the guest did not stop in time, or was not asked."""
    HOST = "host"
    """The host was restarted."""


class Held(Protocol):
    """A file that is open, and stays so for as long as somebody refers to this."""

    def fileno(self) -> int:
        """The descriptor."""
        ...


@dataclass(frozen=True, slots=True)
class Drive:
    """A block device backed by a raw file. The first one is /dev/vda.

    `is_root`: the kernel mounts it, or of it the partition `partuuid`. At most one is; a VMM makes it the first.
    """

    drive_id: str
    host_path: Path
    read_only: bool = True
    is_root: bool = False
    partuuid: str | None = None


@dataclass(frozen=True, slots=True)
class PortForward:
    """TCP from `host_address:host_port` to the guest's `guest_port`."""

    host_address: IPv4Address | IPv6Address
    host_port: int
    guest_port: int


@dataclass(frozen=True, slots=True)
class UserNetwork:
    """A network inside the VMM: no privilege needed. The guest answers, and reaches neither the host nor the net."""

    guest: IPv4Interface
    gateway: IPv4Address
    guest_mac: str
    forwards: tuple[PortForward, ...] = ()


Interface = UserNetwork | Tap


@dataclass(frozen=True, slots=True)
class Vsock:
    """A vsock device: the host reaches it through a Unix socket that the VMM makes at `uds_path`."""

    guest_cid: int
    uds_path: Path


@dataclass(frozen=True, slots=True)
class Mmds:
    """Firecracker's metadata service: `metadata` is a JSON object as text, which the guest reads through `iface_ids`."""

    iface_ids: tuple[str, ...]
    metadata: str = "{}"
    version: Literal["V1", "V2"] = "V2"
    ipv4_address: IPv4Address | None = None


@dataclass(frozen=True, slots=True)
class VmmLog:
    """What the VMM itself writes: its log (`path` None: in the machine's folder) at `level`, in the VMM's own words."""

    path: Path | None = None
    level: str = "Warning"


@dataclass(frozen=True, slots=True)
class MachineConfig:
    """All that a VMM needs to boot; paths are absolute.

    `kernel_args` come behind what the VMM adds for every guest of squib's (console, end by reboot, root, address). Where
    `boot_args` is given, that is the whole line instead, for a guest that is not squib's: nothing is added to it but what the
    VMM cannot leave out.

    `namespace`: where the tap is made, and the VMM runs; None: in the network that squib runs in.

    `held_ports` are published by the host's packet rules: the VMM's process only keeps others from listening there.

    `jail`: what its VMM is confined to; None: it runs as whoever starts it.

    `metrics`: where the VMM writes its metrics; None: in the machine's folder, where it has some. Without `console` the guest
    has no serial port to write to.

    `held`: files among these that were opened and checked, by their paths; they are what the VMM gets, whatever is at the path.
    """

    name: str
    kernel: Path
    initrd: Path | None
    kernel_args: tuple[str, ...]
    mem_size_mib: int
    vcpu_count: int
    drives: tuple[Drive, ...]
    interfaces: tuple[Interface, ...]
    boot_args: str | None = None
    smt: bool = False
    cpu_template: str | None = None
    console: bool = True
    entropy: bool = True
    vsock: Vsock | None = None
    mmds: Mmds | None = None
    log: VmmLog = VmmLog()
    metrics: Path | None = None
    held_ports: tuple[PortForward, ...] = ()
    jail: Jail | None = None
    namespace: NamespaceNetwork | None = None
    held: tuple[tuple[Path, Held], ...] = field(default=(), compare=False, repr=False)


def check_machine_name(text: str) -> str:
    """`text`, where it can be the name of a machine. Raises UsageError."""
    if not _NAME.fullmatch(text):
        raise UsageError(
            f"{text!r} cannot be the name of a machine",
            hint="use letters, digits, '-', '_' and '.', starting with a letter or a digit, at most 63",
        )
    return text
