"""A kernel that a person names: `--kernel PATH`, with `--modules DIR`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from squib.build import kernel_cache
from squib.build.kernel_modules import read_builtin, select_modules
from squib.build.kernels import Kernel
from squib.build.tuned_kernels import TUNED
from squib.errors import ApplianceError, MissingError
from squib.formats.kernel_module import KernelModule, module_name
from squib.formats.linux_image import KernelImage, read_kernel
from squib.host.files import storage_errors
from squib.host.untrusted import read_file
from squib.model.image import InputRecord
from squib.model.near import near
from squib.model.progress import Progress

__all__ = ["FileKernel"]

_MAX_BYTES = 1 << 30
"""Of a kernel, or of a module; one with all that a debugger wants has some hundred MiB."""


@dataclass(frozen=True, slots=True)
class FileKernel:
    """`kernel` is a bzImage or a vmlinux; `modules` a lib/modules/RELEASE folder.

    Without `modules`, /lib/modules/RELEASE is taken for a kernel in /boot that has one; else everything counts as built in.
    """

    kernel: Path
    modules: Path | None = None

    def obtain(self, progress: Progress) -> Kernel:
        """The kernel. Raises MissingError, ApplianceError, or what the operating system refuses."""
        progress(f"reading {self.kernel}", None)
        with storage_errors(self.kernel):
            if not self.kernel.exists():
                raise MissingError(f"the kernel {self.kernel} is not there", hint=_hint(self.kernel))
            if self.kernel.is_dir():
                raise MissingError(f"{self.kernel} is a folder, not a kernel", hint="give a bzImage or a vmlinux")
        data = _read(self.kernel)
        digest = kernel_cache.sha256_hex(data)
        key = f"file-{digest}"
        cached = kernel_cache.load(key)
        image = self._image(data) if cached is None else kernel_cache.image(cached)
        folder = self._modules_folder(image.release)
        modules = () if folder is None else _select(folder, image.release, progress)
        inputs = (
            InputRecord(self.kernel.name, "", digest),
            *(InputRecord(f"{module.name}.ko", image.release, kernel_cache.sha256_hex(module.data)) for module in modules),
        )
        if cached is not None and cached.inputs == inputs:
            return cached
        return kernel_cache.store(key, image, modules, source=f"the file {self.kernel.name}", inputs=inputs)

    def _image(self, data: bytes) -> KernelImage:
        try:
            return read_kernel(data)
        except ApplianceError as error:
            raise ApplianceError(f"{self.kernel}: {error}", hint=error.hint) from error

    def _modules_folder(self, release: str) -> Path | None:
        if self.modules is None:
            installed = Path("/lib/modules") / release
            return installed if self.kernel.resolve().parent == Path("/boot") and installed.is_dir() else None
        with storage_errors(self.modules):
            if not self.modules.is_dir():
                raise MissingError(f"there is no folder {self.modules}", hint="--modules takes a lib/modules/RELEASE folder")
        return self.modules


def _select(folder: Path, release: str, progress: Progress) -> tuple[KernelModule, ...]:
    files: dict[str, Callable[[], bytes]] = {}
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if module := module_name(name):
                files.setdefault(module, partial(_read, Path(parent) / name))
    builtin = folder / "modules.builtin"
    known = read_builtin(_read(builtin).decode("utf-8", "replace")) if builtin.is_file() else frozenset[str]()
    return select_modules(files, known, release, progress)


def _read(path: Path) -> bytes:
    return read_file(path, max_bytes=_MAX_BYTES, follow=True)


def _hint(named: Path) -> str:
    if near(str(named), [TUNED]):
        return f"did you mean --kernel {TUNED}?"
    return f"give the path of a vmlinux or a bzImage, or --kernel {TUNED} (squib kernel build)"
