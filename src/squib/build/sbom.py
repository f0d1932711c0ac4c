"""What is in an image, part by part: each thing that went in, by the name that vulnerability databases know it by.

A file that dpkg knows is named as Debian's package; an installed distribution as PyPI does; CPython, the kernel and all else by
their own names. What an image was made with, but does not hold (a compiler, mke2fs), is no part of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from squib.build.kernels import Kernel
from squib.errors import SquibError
from squib.host import command
from squib.model.container import ContainerImage
from squib.model.image import VMLINUX, Artifact, InputKind, InputRecord
from squib.model.sbom import Bill, Ecosystem, MachineImage, Part

__all__ = ["artifact_bill", "image_bill"]

_TIMEOUT_S = 30.0
_KERNEL_PACKAGES = ("linux-image-", "linux-modules-", "linux-source-")
_MERGED = "/usr"
"""Where /lib is a link to /usr/lib, dpkg may know a file by either path."""


@dataclass(frozen=True, slots=True)
class _Package:
    name: str
    version: str
    arch: str


def image_bill(image: ContainerImage) -> Bill:
    """The bill of `image`, which was made on this machine just now."""
    return _bill(image, _parts(image.inputs))


def artifact_bill(artifact: Artifact, inputs: Iterable[InputRecord], kernel: Kernel, created: int) -> Bill:
    """The bill of `artifact`, which was made on this machine just now, of `inputs` and `kernel`; `created` as ImageOptions."""
    digests = {file.name: file.sha256 for file in artifact.manifest.files}
    subject = MachineImage(artifact.manifest.appliance.name, tuple(sorted(digests.items())), created)
    made_of = set(kernel.inputs)
    parts = [*_parts(record for record in inputs if record not in made_of), *_kernel_parts(kernel)]
    return _bill(subject, parts)


def _bill(subject: ContainerImage | MachineImage, parts: Iterable[Part]) -> Bill:
    return Bill(subject, tuple(sorted(set(parts), key=lambda part: (part.name, part.file, part.sha256))))


def _parts(records: Iterable[InputRecord]) -> Iterator[Part]:
    distribution = _distribution()
    for record in records:
        package = _owner(record.source) if distribution and record.source is not None else None
        yield _own_part(record) if package is None else _debian_part(record, package, distribution)


def _debian_part(record: InputRecord, package: _Package, distribution: str) -> Part:
    cpe = _python_cpe(record.version) if record.kind is InputKind.PYTHON else ""
    return Part(
        package.name, package.version, Ecosystem.DEBIAN, record.name, record.sha256, distribution, package.arch, cpe=cpe
    )


def _own_part(record: InputRecord) -> Part:
    match record.kind:
        case InputKind.PYTHON:
            cpe = _python_cpe(record.version)
            return Part("cpython", record.version, Ecosystem.GENERIC, record.name, record.sha256, cpe=cpe)
        case InputKind.DISTRIBUTION if record.version:
            return Part(record.name, record.version, Ecosystem.PYPI, record.name, record.sha256)
        case _:
            return Part(record.name, record.version, Ecosystem.GENERIC, record.name, record.sha256)


def _kernel_parts(kernel: Kernel) -> Iterator[Part]:
    """The kernel by the packages that it came in; else by its release, without what the builder added (`6.1.0-squib`)."""
    distribution = _distribution()
    packages = [record for record in kernel.inputs if record.name.startswith(_KERNEL_PACKAGES)] if distribution else []
    version = kernel.record.release.partition("-")[0]
    cpe = f"cpe:2.3:o:linux:linux_kernel:{version}:*:*:*:*:*:*:*"
    for record in packages:
        yield Part(record.name, record.version, Ecosystem.DEBIAN, record.name, record.sha256, distribution, cpe=cpe)
    if not packages:
        yield Part("linux", version, Ecosystem.GENERIC, VMLINUX, kernel.file.sha256, cpe=cpe)
        for name, data in kernel.modules:
            yield Part(name, kernel.record.release, Ecosystem.GENERIC, name, hashlib.sha256(data).hexdigest())


def _python_cpe(version: str) -> str:
    """As the National Vulnerability Database calls CPython."""
    return f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*"


def _distribution() -> str:
    """`debian`, `ubuntu` …; empty where there is no dpkg."""
    try:
        command.find("dpkg-query", package="dpkg")
        return platform.freedesktop_os_release().get("ID", "debian")
    except (SquibError, OSError):
        return ""


def _owner(path: Path) -> _Package | None:
    """The package that `path` is a file of."""
    text = str(path)
    other = text.removeprefix(_MERGED) if text.startswith(f"{_MERGED}/lib") else _MERGED + text
    for candidate in (text, other):
        with contextlib.suppress(SquibError, ValueError):
            line = command.run(("dpkg-query", "-S", candidate), timeout=_TIMEOUT_S).decode().splitlines()[0]
            name = line.rpartition(": ")[0].partition(", ")[0]
            shown = command.run(("dpkg-query", "-W", "-f", "${Package}\t${Version}\t${Architecture}", name), timeout=_TIMEOUT_S)
            return _Package(*shown.decode().split("\t"))
    return None
