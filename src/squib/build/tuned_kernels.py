"""The tuned kernels that were built here: which there are, which one `--kernel tuned` means, and removing one.

It means the newest that was made from the fragment of this squib: an older squib's may lack what this one needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from squib.build import kernel_cache
from squib.build.kernel_build import FRAGMENT, config_path, fragment
from squib.build.kernels import Kernel
from squib.errors import MissingError
from squib.host.files import storage_errors
from squib.model.progress import Progress

__all__ = ["TUNED", "BuiltKernel", "TunedKernel", "find", "installed", "remove"]

TUNED = "tuned"
"""What `--kernel` calls it."""

_BUILD = "squib kernel build"


@dataclass(frozen=True, slots=True)
class BuiltKernel:
    """One of them. `current`: made from the fragment of this squib; `built`: when it was kept."""

    name: str
    kernel: Kernel
    built: datetime
    current: bool

    @property
    def config(self) -> str:
        """Its whole configuration. Raises MissingError where that was removed."""
        path = config_path(self.name)
        with storage_errors(path):
            return path.read_text(encoding="utf-8")


def installed() -> tuple[BuiltKernel, ...]:
    """All that are whole, the newest first."""
    digest = kernel_cache.sha256_hex(fragment())
    found = []
    for path in kernel_cache.folder().glob(f"{TUNED}-*.json"):
        kernel = kernel_cache.load(path.stem)
        if kernel is not None:
            current = any((one.name, one.sha256) == (FRAGMENT, digest) for one in kernel.inputs)
            with storage_errors(path):
                found.append(BuiltKernel(path.stem, kernel, datetime.fromtimestamp(path.stat().st_mtime, UTC), current))
    return tuple(sorted(found, key=lambda one: (one.built, one.name), reverse=True))


def find(name: str) -> BuiltKernel:
    """The one with that name; `tuned` is the one that `--kernel tuned` takes. Raises MissingError."""
    kernels = installed()
    if name == TUNED:
        if (newest := next((one for one in kernels if one.current), None)) is not None:
            return newest
        older = "; those that are here are of another squib (squib kernel list)" if kernels else ""
        raise MissingError(f"no tuned kernel is built yet{older}", hint=f"{_BUILD}   # takes minutes, once")
    if (found := next((one for one in kernels if one.name == name), None)) is None:
        raise MissingError(f"there is no kernel {name}", hint="squib kernel list")
    return found


def remove(name: str) -> BuiltKernel:
    """Removes the one with that name, and what belongs to no other kernel. Raises MissingError."""
    found = find(name)
    with storage_errors(config_path(found.name)):
        config_path(found.name).unlink(missing_ok=True)
    kernel_cache.remove(found.name)
    return found


class TunedKernel:
    """The source behind `--kernel tuned`."""

    def obtain(self, progress: Progress) -> Kernel:
        """The kernel. Raises MissingError where none is built."""
        progress("looking for the tuned kernel", None)
        return find(TUNED).kernel
