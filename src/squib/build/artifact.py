"""The files of an appliance: planned, written into a folder together, and opened again.

The rule: nothing appears in the folder before all are ready beside it on the same file-system, and then they appear together
(host.publication), so that the folder holds one whole artifact at every moment. Other things in it are left alone; but for
the initrd of an earlier build, where this one needs none.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from squib import __version__
from squib.build import ext4, initrd, interpreter, rootfs
from squib.build.cache import Cache
from squib.build.include import tell_left_out
from squib.build.kernels import Kernel
from squib.build.opening import open_artifact, record
from squib.errors import PermissionDeniedError
from squib.formats import cpio
from squib.host.files import cache_home, make_folder, staging, storage_errors
from squib.host.publication import publish_together
from squib.host.untrusted import Folder
from squib.model.appliance import Appliance
from squib.model.image import INITRD, MANIFEST, ROOTFS, VMLINUX, Artifact, FileRecord, InputRecord, Manifest
from squib.model.progress import Progress
from squib.model.tree import RootfsTree
from squib.wire import guest_spec, manifest

__all__ = ["BuildPlan", "open_artifact", "plan_artifact", "write_artifact"]

_FILE_MODE = 0o644
_CLOSED_MODE = 0o600
_COPY_CHUNK = 1 << 30
_NOT_THESE_TWO = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
"""copy_file_range(2) does not copy between these file-systems, or not on this kernel."""


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """What will be written: the trees (no initrd where the kernel needs none), the kernel, and everything that went in.

    `closed`: the root file-system holds a file that is not for other users to read, so neither is its image.
    """

    appliance: Appliance
    kernel: Kernel
    rootfs: RootfsTree
    initrd: RootfsTree | None
    inputs: tuple[InputRecord, ...]
    closed: bool = False


def plan_artifact(appliance: Appliance, kernel: Kernel, report: Progress) -> BuildPlan:
    """Reads what goes in, and writes nothing but the cache. Raises SquibError."""
    report("reading Python and the appliance", None)
    cache = Cache(cache_home() / "bytecode")
    # The folder of the architecture below /lib where the distribution is Debian's or like it; empty elsewhere.
    multiarch = str(getattr(sys.implementation, "_multiarch", ""))
    root = rootfs.plan(appliance, interpreter.running(), cache, multiarch)
    tell_left_out(root.left_out, report)
    inputs = sorted({*root.inputs, *kernel.inputs}, key=lambda record: (record.name, record.sha256))
    early = initrd.plan(kernel.modules) if kernel.needs_initrd else None
    return BuildPlan(appliance, kernel, root.tree, early, tuple(inputs), root.closed)


def write_artifact(plan: BuildPlan, out: Path, report: Progress, *, share_kernel: bool = False) -> Artifact:
    """Writes the files into `out`, which is made. Raises SquibError, and then `out` is as it was.

    `share_kernel`: the kernel is the cache's own file by one name more, for an `out` that is in the cache too.
    """
    programs = ext4.find_programs()
    with contextlib.ExitStack() as undo:
        undo.callback(_remove_made, _missing_folders(out))
        with storage_errors(out):
            make_folder(out)
        with staging(_workplace(out)) as staged:
            folder = staged / "artifact"
            with storage_errors(folder):
                folder.mkdir()
            report("writing rootfs.ext4", None)
            ext4.write(plan.rootfs, folder / ROOTFS, programs)
            report("writing the kernel and what it starts with", None)
            files = (*_write_boot_files(plan, folder, out, share_kernel=share_kernel), record(folder / ROOTFS))
            files = tuple(sorted(files, key=lambda file: file.name))
            inputs = tuple(sorted((*plan.inputs, *programs.inputs), key=lambda record: (record.name, record.sha256)))
            text = manifest.encode(Manifest(__version__, guest_spec.ABI, plan.appliance, plan.kernel.record, files, inputs))
            description = manifest.decode(text, out)  # what could not be opened again takes no good one's place
            with storage_errors(out):
                (folder / MANIFEST).write_bytes(text)
                for path in folder.iterdir():
                    path.chmod(_CLOSED_MODE if plan.closed and path.name == ROOTFS else _FILE_MODE)
            publish_together(folder, out, last=MANIFEST)
            if plan.initrd is None:
                with storage_errors(out):
                    (out / INITRD).unlink(missing_ok=True)
        undo.pop_all()
    return Artifact(out, description, hashlib.sha256(text).hexdigest())


def _workplace(out: Path) -> Path:
    """Where the files are made: in `out`, unless another user could put something else in their place meanwhile."""
    with Folder(out) as place:
        try:
            place.check_owned()
        except PermissionDeniedError:
            return cache_home() / "builds"
    return out


def _write_boot_files(plan: BuildPlan, folder: Path, out: Path, *, share_kernel: bool) -> tuple[FileRecord, ...]:
    with storage_errors(out):
        if not (share_kernel and _linked(plan.kernel.vmlinux, folder / VMLINUX)):
            _copy(plan.kernel.vmlinux, folder / VMLINUX)
        kernel = replace(plan.kernel.file, name=VMLINUX)
        if plan.initrd is None:
            return (kernel,)
        (folder / INITRD).write_bytes(cpio.pack(plan.initrd))
        return (record(folder / INITRD), kernel)


def _linked(source: Path, target: Path) -> bool:
    try:
        target.hardlink_to(source)
    except OSError:  # a file system without links, or another one
        return False
    return True


def _copy(source: Path, target: Path) -> None:
    """Copies within the kernel, sharing blocks where the file-system can; also from one file-system to another."""
    with source.open("rb") as reader, target.open("wb") as writer:
        try:
            while os.copy_file_range(reader.fileno(), writer.fileno(), _COPY_CHUNK):
                pass
        except OSError as error:
            if error.errno not in _NOT_THESE_TWO:
                raise
            shutil.copyfile(source, target)


def _missing_folders(out: Path) -> tuple[Path, ...]:
    """The folders that making `out` will make, the innermost first."""
    with storage_errors(out):
        return tuple(folder for folder in (out, *out.parents) if not folder.exists())


def _remove_made(folders: tuple[Path, ...]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()
