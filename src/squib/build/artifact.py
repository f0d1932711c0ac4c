"""The four files of an appliance: planned, written into a folder together, and opened again.

The rule: nothing appears in the folder before all four are ready beside it on the same file-system; the manifest is renamed in
last, so it never speaks of files that are not there yet. Other things in the folder are left alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from squib import __version__
from squib.build import ext4, initrd, interpreter, rootfs
from squib.build.cache import Cache
from squib.build.kernels import Kernel
from squib.errors import ApplianceError, MissingError
from squib.formats import cpio
from squib.host.files import cache_home, publish, staging, storage_errors
from squib.model.appliance import Appliance
from squib.model.image import INITRD, MANIFEST, ROOTFS, VMLINUX, Artifact, FileRecord, InputRecord, Manifest
from squib.model.progress import Progress
from squib.model.tree import RootfsTree
from squib.wire import guest_spec, manifest

__all__ = ["BuildPlan", "open_artifact", "plan_artifact", "write_artifact"]

_FILE_MODE = 0o644
_COPY_CHUNK = 1 << 30


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """What will be written: both trees, the kernel, and everything that went in."""

    appliance: Appliance
    kernel: Kernel
    rootfs: RootfsTree
    initrd: RootfsTree
    inputs: tuple[InputRecord, ...]


def plan_artifact(appliance: Appliance, kernel: Kernel, report: Progress) -> BuildPlan:
    """Reads what goes in, and writes nothing but the cache. Raises SquibError."""
    report("reading Python and the appliance", None)
    cache = Cache(cache_home() / "bytecode")
    # The folder of the architecture below /lib where the distribution is Debian's or like it; empty elsewhere.
    multiarch = str(getattr(sys.implementation, "_multiarch", ""))
    root = rootfs.plan(appliance, interpreter.running(), cache, multiarch)
    inputs = sorted({*root.inputs, *kernel.inputs}, key=lambda record: (record.name, record.sha256))
    return BuildPlan(appliance, kernel, root.tree, initrd.plan(kernel.modules), tuple(inputs))


def write_artifact(plan: BuildPlan, out: Path, report: Progress) -> Artifact:
    """Writes the four files into `out`, which is made. Raises SquibError, and then `out` is as it was."""
    programs = ext4.find_programs()
    with contextlib.ExitStack() as undo:
        undo.callback(_remove_made, _missing_folders(out))
        with staging(out) as folder:
            report("writing rootfs.ext4", None)
            ext4.write(plan.rootfs, folder / ROOTFS, programs)
            report("writing initrd.img and vmlinux", None)
            with storage_errors(out):
                archive = cpio.pack(plan.initrd)
                (folder / INITRD).write_bytes(archive)
                _copy(plan.kernel.vmlinux, folder / VMLINUX)
            files = (_record(INITRD, archive), _record(ROOTFS, _read(folder / ROOTFS)), replace(plan.kernel.file, name=VMLINUX))
            inputs = tuple(sorted((*plan.inputs, *programs.inputs), key=lambda record: (record.name, record.sha256)))
            description = Manifest(__version__, guest_spec.ABI, plan.appliance, plan.kernel.record, files, inputs)
            with storage_errors(out):
                (folder / MANIFEST).write_bytes(manifest.encode(description))
                for name in (INITRD, ROOTFS, VMLINUX, MANIFEST):
                    (folder / name).chmod(_FILE_MODE)
            for name in (INITRD, ROOTFS, VMLINUX, MANIFEST):
                publish(folder / name, out / name)
        undo.pop_all()
    return open_artifact(out)


def open_artifact(folder: Path) -> Artifact:
    """The artifact in `folder`, each file compared with its digest. Raises MissingError, ApplianceError."""
    found = Artifact(folder, manifest.decode(_read(folder / MANIFEST), folder))
    again = f"build the appliance again: squib build -o {folder}"
    if found.manifest.abi != guest_spec.ABI:
        raise ApplianceError(
            f"{folder} speaks version {found.manifest.abi} of the guest ABI, this squib {guest_spec.ABI}", hint=again
        )
    records = {file.name: file for file in found.manifest.files}
    for name in (INITRD, ROOTFS, VMLINUX):
        path = folder / name
        if not path.is_file():
            raise MissingError(f"{path} is not there", hint=again)
        if name not in records or _record(name, _read(path)) != records[name]:
            raise ApplianceError(f"{path} is not the file that {MANIFEST} tells of: it was changed or damaged", hint=again)
    return found


def _record(name: str, data: bytes) -> FileRecord:
    return FileRecord(name, len(data), hashlib.sha256(data).hexdigest())


def _read(path: Path) -> bytes:
    with storage_errors(path):
        return path.read_bytes()


def _copy(source: Path, target: Path) -> None:
    """Copies within the kernel, sharing blocks where the file-system can."""
    with source.open("rb") as reader, target.open("wb") as writer:
        while os.copy_file_range(reader.fileno(), writer.fileno(), _COPY_CHUNK):
            pass


def _missing_folders(out: Path) -> tuple[Path, ...]:
    """The folders that making `out` will make, the innermost first."""
    with storage_errors(out):
        return tuple(folder for folder in (out, *out.parents) if not folder.exists())


def _remove_made(folders: tuple[Path, ...]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()
