"""What `squib build` leaves: four files and what their manifest says of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from squib.model.appliance import Appliance

__all__ = ["INITRD", "MANIFEST", "ROOTFS", "VMLINUX", "Artifact", "FileRecord", "InputRecord", "KernelRecord", "Manifest"]

ROOTFS = "rootfs.ext4"
INITRD = "initrd.img"
VMLINUX = "vmlinux"
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file that was made; `size` in bytes, `sha256` in hex."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class InputRecord:
    """A thing that went in: an interpreter, a library, a module, a program. `version` may be empty; `sha256` in hex."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class KernelRecord:
    """`release` as `uname -r` says; `source` for people; `load_mib`: end of the loaded kernel in guest memory, at its start.

    That is 16 MiB load address + init_size; with less than it and the initrd, no boot is tried.
    """

    release: str
    source: str
    load_mib: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything about an artifact; holds no path of the building machine but those of its system libraries."""

    squib: str
    abi: int
    appliance: Appliance
    kernel: KernelRecord
    files: tuple[FileRecord, ...]
    inputs: tuple[InputRecord, ...]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A folder with the four files, and what its manifest says."""

    folder: Path
    manifest: Manifest

    @property
    def rootfs(self) -> Path:
        """The root file-system."""
        return self.folder / ROOTFS

    @property
    def initrd(self) -> Path:
        """The initial RAM file-system."""
        return self.folder / INITRD

    @property
    def vmlinux(self) -> Path:
        """The uncompressed ELF kernel."""
        return self.folder / VMLINUX
