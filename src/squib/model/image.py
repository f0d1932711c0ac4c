"""What `squib build` leaves: three files or four, and what their manifest says of them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from squib.model.appliance import Appliance
from squib.model.machine import Held

__all__ = [
    "INITRD",
    "MANIFEST",
    "ROOTFS",
    "VMLINUX",
    "Artifact",
    "FileRecord",
    "InputKind",
    "InputRecord",
    "KernelRecord",
    "Manifest",
    "Target",
    "rebuild_hint",
]

ROOTFS = "rootfs.ext4"
INITRD = "initrd.img"
VMLINUX = "vmlinux"
MANIFEST = "manifest.json"


class Target(Enum):
    """What a tree is made for: a machine boots it with squib's PID 1, a container engine starts /bin/server in it."""

    MACHINE = "machine"
    CONTAINER = "container"


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file that was made; `size` in bytes, `sha256` in hex."""

    name: str
    size: int
    sha256: str


class InputKind(Enum):
    """Whose a thing is that went in: for the bill of materials, which names each as its owner does."""

    APPLIANCE = "the appliance"
    SQUIB = "squib"
    PYTHON = "CPython"
    DISTRIBUTION = "a Python distribution"
    KERNEL = "the kernel"
    OTHER = "another file"


@dataclass(frozen=True, slots=True)
class InputRecord:
    """A thing that went in: an interpreter, a library, a distribution, a program. `version` may be empty; `sha256` in hex.

    `kind`, and `source`, the file (or one of the files) that it was read from on this machine, are not kept in a manifest.
    """

    name: str
    version: str
    sha256: str
    kind: InputKind = field(default=InputKind.OTHER, compare=False)
    source: Path | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class KernelRecord:
    """`release` as `uname -r` says; `source` for people; `load_mib`: end of the loaded kernel in guest memory, at its start.

    That is its load address and what it claims from there on (a bzImage's init_size, a vmlinux's segments); with less than it
    and the initrd, no boot is tried.
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
    """A folder with the files, and what its manifest says; `digest` is the manifest's own sha256, in hex.

    `held`: its files by name, as they were opened and compared with the manifest; empty where nobody opened them. `kept`: what
    keeps its folder in the cache until the store knows of a machine that was started from it.
    """

    folder: Path
    manifest: Manifest
    digest: str = field(default="", compare=False)
    held: tuple[tuple[str, Held], ...] = field(default=(), compare=False, repr=False)
    kept: Held | None = field(default=None, compare=False, repr=False)

    @property
    def rootfs(self) -> Path:
        """The root file-system."""
        return self.folder / ROOTFS

    @property
    def initrd(self) -> Path | None:
        """The initial RAM file-system; None where the kernel finds the disk by itself."""
        return self.folder / INITRD if any(file.name == INITRD for file in self.manifest.files) else None

    @property
    def vmlinux(self) -> Path:
        """The uncompressed ELF kernel."""
        return self.folder / VMLINUX


def rebuild_hint(folder: Path | None = None, name: str = "") -> str:
    """What to do about a damaged artifact in `folder`, which an appliance called `name` was made into; either may be unknown.

    No manifest tells where its appliance lies, and `squib build` without one would build another: so a person has to say.
    """
    where = "DIR" if folder is None else shlex.quote(str(folder))
    which = f" (its name is {name!r})" if name else ""
    return f"build the appliance again that it was made from{which}: squib build APPLIANCE -o {where}"
