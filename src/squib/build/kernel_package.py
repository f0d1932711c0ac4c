"""The distribution's own kernel for virtual machines: asked for by the name that stays, cached once it is here.

`linux-image-cloud-amd64` (Debian) and `linux-image-virtual` (Ubuntu) hold nothing but a dependency on the package with the
kernel of the day; on Ubuntu that one depends on another with its modules.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial

from squib.build import apt, kernel_cache
from squib.build.apt import Package
from squib.build.kernel_modules import read_builtin, select_modules
from squib.build.kernels import Kernel
from squib.errors import ApplianceError, UnavailableError
from squib.formats.kernel_module import module_name, without_signature
from squib.formats.linux_image import read_kernel
from squib.host.files import cache_home, staging
from squib.model.image import InputRecord
from squib.model.progress import Progress

__all__ = ["Members", "PackageKernel", "builtin_modules", "find_packages", "module_files", "opened", "vmlinuz"]

Members = dict[str, Callable[[], bytes]]
"""How to read each file of some packages, by its path without a leading `/`."""

_NAMES = ("linux-image-cloud-amd64", "linux-image-virtual")
_PART = re.compile(r"linux-(?:image|modules)-[0-9a-z.+-]+")
_VERSIONED = re.compile(r"linux-(?:image|modules)-(?:unsigned-)?[0-9]")
_KEY = "package"


@dataclass(frozen=True, slots=True)
class PackageKernel:
    """With `refresh`, apt is asked for a newer one even though one is cached."""

    refresh: bool = False

    def cached(self) -> Kernel | None:
        """The kernel where it is here already; apt is not asked."""
        kernel = kernel_cache.load(_KEY)
        return None if kernel is None else _unsigned(kernel)

    def offered(self) -> str:
        """The package that apt would start from, with its version; empty where it knows none. Raises UnavailableError."""
        package = next((package for name in _NAMES if (package := apt.show(name)) is not None), None)
        return "" if package is None else f"{package.name} {package.version}"

    def obtain(self, progress: Progress) -> Kernel:
        """The kernel. Raises UnavailableError with what to do where the distribution cannot give one."""
        cached = self.cached()
        if cached is not None and not self.refresh:
            return cached
        progress("asking apt for the kernel's package", None)
        packages = find_packages()
        inputs = tuple(InputRecord(package.name, package.version, package.sha256) for package in packages)
        if cached is not None and cached.inputs == inputs:
            return cached
        return _fetch(packages, inputs, progress)


def find_packages() -> tuple[Package, ...]:
    """The packages with the kernel and its modules. Raises UnavailableError where apt knows none."""
    start = next((package for name in _NAMES if (package := apt.show(name)) is not None), None)
    if start is None:
        raise UnavailableError(
            f"apt knows no package with a kernel for virtual machines ({' or '.join(_NAMES)})",
            hint="sudo apt-get update; or give a kernel of yours: --kernel PATH",
        )
    found = {start.name: start}
    queue = [start]
    while queue:
        for choices in queue.pop().depends:
            package = _first_known(choices)
            if package is not None and package.name not in found:
                found[package.name] = package
                queue.append(package)
    parts = tuple(package for name, package in found.items() if _VERSIONED.match(name))
    if not parts:
        raise UnavailableError(f"the package {start.name} leads to no kernel", hint="sudo apt-get update")
    return parts


def _first_known(choices: tuple[str, ...]) -> Package | None:
    names = [name for name in choices if _PART.fullmatch(name)]
    return next((package for name in names if (package := apt.show(name)) is not None), None)


def _fetch(packages: tuple[Package, ...], inputs: tuple[InputRecord, ...], progress: Progress) -> Kernel:
    with opened(packages, progress) as members:
        image = read_kernel(vmlinuz(members, packages[0].name))
        modules = select_modules(module_files(members), builtin_modules(members), image.release, progress)
    source = f"package {packages[0].name} {packages[0].version}"
    return _unsigned(kernel_cache.store(_KEY, image, modules, source=source, inputs=inputs))


def _unsigned(kernel: Kernel) -> Kernel:
    """`kernel` with modules that its guest need not verify, as apt has (docs/decisions/0014)."""
    return replace(kernel, modules=tuple((name, without_signature(data)) for name, data in kernel.modules))


@contextmanager
def opened(packages: tuple[Package, ...], progress: Progress) -> Iterator[Members]:
    """Downloads `packages` and opens them for reading. Raises UnavailableError, StorageError, ApplianceError."""
    with staging(cache_home() / "kernels") as folder, ExitStack() as archives:
        members: Members = {}
        for number, package in enumerate(packages):
            progress(f"downloading {package.name} {package.version}", number / len(packages))
            archive = archives.enter_context(apt.open_package(apt.download(package, folder)))
            members.update(_members(archive))
        progress("unpacking the kernel", None)
        yield members


def vmlinuz(members: Members, package: str) -> bytes:
    """The kernel (a bzImage) among the files of `package` and what it needs. Raises ApplianceError where there is none."""
    for name, read in sorted(members.items()):
        if name.startswith("boot/vmlinuz-"):
            return read()
    raise ApplianceError(f"there is no kernel in {package}", hint="give a kernel of yours: --kernel PATH")


def module_files(members: Members) -> Members:
    """How to read each kernel module among them, by its name."""
    return {module: read for name, read in members.items() if (module := module_name(name.rpartition("/")[2]))}


def builtin_modules(members: Members) -> frozenset[str]:
    """The modules that the kernel has built in."""
    return read_builtin(next((read().decode() for name, read in members.items() if name.endswith("/modules.builtin")), ""))


def _members(archive: tarfile.TarFile) -> Members:
    return {member.name.removeprefix("./"): partial(_read, archive, member) for member in archive if member.isreg()}


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return b"" if file is None else file.read()
