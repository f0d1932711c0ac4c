"""What `squib build --drop` leaves: files with which a host that has nothing of squib boots an appliance in Firecracker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from squib.model.image import FileRecord
from squib.model.network import DEFAULT_GUEST_IP, DEFAULT_GUEST_MAC, GuestIp

__all__ = ["FIRECRACKER", "KERNEL", "RUN", "TAP", "VM", "Drop", "DropNetwork"]

FIRECRACKER = "firecracker"
KERNEL = "vmlinux.bin"
VM = "vm.json"
RUN = "run.sh"

TAP = "tap0"


@dataclass(frozen=True, slots=True)
class DropNetwork:
    """The machine's network: the tap device that the host will have, the guest's hardware address, and its own on it."""

    tap: str = TAP
    guest_mac: str = DEFAULT_GUEST_MAC
    guest_ip: GuestIp = DEFAULT_GUEST_IP


@dataclass(frozen=True, slots=True)
class Drop:
    """The folder, its files in the order of their names, and the machine's network."""

    folder: Path
    files: tuple[FileRecord, ...]
    network: DropNetwork
