"""Which modules a guest needs from a kernel's lib/modules: the virtio drivers, and ext4 where it is not built in."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from squib.errors import ApplianceError
from squib.formats.kernel_module import KernelModule, load_order, module_name, read_module
from squib.model.progress import Progress

__all__ = ["closure", "read_builtin", "select_modules"]

_NEEDED = ("virtio_blk",)
_WANTED = ("virtio_pci", "virtio_mmio", "virtio_blk", "virtio_net", "virtio_rng")
_IF_MODULES = ("crc32c_generic", "ext4")
"""Debian's larger kernel has ext4 as a module; it asks for crc32c by name (its softdep), which nobody here would load."""


def read_builtin(text: str) -> frozenset[str]:
    """The names in a modules.builtin file (Documentation/kbuild/kbuild.rst): one path a line."""
    return frozenset(module_name(line.rpartition("/")[2]) for line in text.split()) - {""}


def select_modules(
    files: Mapping[str, Callable[[], bytes]], builtin: frozenset[str], release: str, progress: Progress
) -> tuple[KernelModule, ...]:
    """What to load, in order; `files` reads the file of each module by its name.

    What is neither a module nor built in is told to `progress`, or is an ApplianceError where no guest boots without it; so
    is a module for another kernel than `release`.
    """
    for name in _WANTED:
        if name not in files and name not in builtin:
            if name in _NEEDED:
                raise ApplianceError(
                    f"kernel {release} has no {name}: neither among its modules nor built in",
                    hint="take a kernel for virtual machines, such as linux-image-cloud-amd64 or linux-image-virtual",
                )
            progress(f"kernel {release} has no {name}; going on without it", None)
    wanted = [name for name in (*_IF_MODULES, *_WANTED) if name in files and name not in builtin]
    modules = closure(wanted, files, builtin)
    for module in modules.values():
        if module.release != release:
            raise ApplianceError(
                f"the kernel module {module.name} is for kernel {module.release}, and the kernel is {release}",
                hint="give the modules of that kernel: --modules /lib/modules/RELEASE",
            )
    return load_order(wanted, modules)


def closure(wanted: list[str], files: Mapping[str, Callable[[], bytes]], builtin: frozenset[str]) -> dict[str, KernelModule]:
    """`wanted` and what they depend on, as far as there are files; `load_order` names what is missing."""
    found: dict[str, KernelModule] = {}
    open_names = list(wanted)
    while open_names:
        name = open_names.pop()
        if name in files and name not in found and name not in builtin:
            found[name] = read_module(name, files[name]())
            open_names.extend(found[name].depends)
    return found
