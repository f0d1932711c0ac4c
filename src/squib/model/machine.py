"""A virtual machine as intent (`MachineConfig`) and as observation (`VmState`): two values that never mix."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface, IPv6Address
from pathlib import Path

__all__ = ["Accel", "AccelChoice", "Drive", "EndedBy", "MachineConfig", "PortForward", "UserNetwork", "VmState"]


class Accel(StrEnum):
    """How guest code runs: on the processor itself (KVM) or by emulation (TCG)."""

    KVM = "kvm"
    TCG = "tcg"


@dataclass(frozen=True, slots=True)
class AccelChoice:
    """What to run with, and why, as one sentence for people."""

    accel: Accel
    reason: str


class VmState(StrEnum):
    """What was last seen of a machine."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    EXITED = "exited"
    FAILED = "failed"


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


@dataclass(frozen=True, slots=True)
class Drive:
    """A block device backed by a raw file; the first one is /dev/vda."""

    drive_id: str
    host_path: Path
    read_only: bool = True


@dataclass(frozen=True, slots=True)
class PortForward:
    """TCP from `host_address:host_port` to the guest's `guest_port`."""

    host_address: IPv4Address | IPv6Address
    host_port: int
    guest_port: int


@dataclass(frozen=True, slots=True)
class UserNetwork:
    """A network inside the VMM: no privilege needed. Without `outbound` the guest reaches neither the host nor the net."""

    guest: IPv4Interface
    gateway: IPv4Address
    guest_mac: str
    forwards: tuple[PortForward, ...] = ()
    outbound: bool = False


@dataclass(frozen=True, slots=True)
class MachineConfig:
    """All that a VMM needs to boot. `kernel_args` come before what the VMM adds; paths are absolute."""

    name: str
    kernel: Path
    initrd: Path | None
    kernel_args: tuple[str, ...]
    mem_size_mib: int
    vcpu_count: int
    drives: tuple[Drive, ...]
    network: UserNetwork
