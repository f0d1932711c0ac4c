"""Where guest kernels come from: one interface, and what every source gives.

`PackageKernel` (build.kernel_package) takes the distribution's own, `FileKernel` (build.kernel_file) what a person names,
`TunedKernel` (build.tuned_kernels) what `squib kernel build` made. It is kept by build.kernel_cache, so that a second build
asks nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from squib.model.image import FileRecord, InputRecord, KernelRecord
from squib.model.progress import Progress

__all__ = ["Kernel", "KernelSource"]


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel to boot, and its modules.

    `vmlinux` is the cached ELF file that `file` describes (its size and sha256 have just been checked); `modules` are names and
    unpacked .ko files in the order to load them; `inputs` are what it was made from. Without `needs_initrd` it finds
    /dev/vda and mounts it by itself.
    """

    vmlinux: Path
    file: FileRecord
    record: KernelRecord
    modules: tuple[tuple[str, bytes], ...]
    inputs: tuple[InputRecord, ...]
    needs_initrd: bool = True


class KernelSource(Protocol):
    """Gives a kernel, from its cache where it can."""

    def obtain(self, progress: Progress) -> Kernel:
        """The kernel. Raises SquibError with a remedy where there is none to be had."""
        ...
