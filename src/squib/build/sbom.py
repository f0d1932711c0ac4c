"""What is in a container image, part by part: each thing that went in, by the name that vulnerability databases know it by.

Debian's packages are named where dpkg says that the very file that went in is theirs; elsewhere a part has its file's name.
"""

from __future__ import annotations

import contextlib
import hashlib
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from squib.build import interpreter
from squib.errors import SquibError
from squib.host import command
from squib.model.container import ContainerImage
from squib.model.image import InputRecord
from squib.model.sbom import Bill, Ecosystem, Part
from squib.model.tree import File

__all__ = ["plan_bill"]

_TIMEOUT_S = 30.0
_OURS = frozenset({"appliance", "squib"})
_MERGED = "/usr"
"""Where /lib is a link to /usr/lib, dpkg may know a file by either path."""


@dataclass(frozen=True, slots=True)
class _Package:
    name: str
    version: str
    arch: str


def plan_bill(image: ContainerImage) -> Bill:
    """The bill of `image`, which was made on this machine just now."""
    distribution = _distribution()
    files = {path.rpartition("/")[2]: Path(path) for path in _libraries(image)}
    python = interpreter.running()
    files |= {"python": python.binary, "python-library": python.stdlib / "os.py"}
    packages = {name: _owner(path) for name, path in files.items()} if distribution else {}
    parts = {_part(record, packages.get(record.name), files.get(record.name), distribution) for record in image.inputs}
    return Bill(image, tuple(sorted(parts, key=lambda part: (part.name, part.file))))


def _part(record: InputRecord, package: _Package | None, file: Path | None, distribution: str) -> Part:
    if package is not None and file is not None and _went_in(record, file):
        return Part(package.name, package.version, Ecosystem.DEBIAN, record.name, record.sha256, distribution, package.arch)
    native = _is_library(record.name) or record.name in _OURS or record.name.startswith("python")
    ecosystem = Ecosystem.GENERIC if native else Ecosystem.PYPI
    return Part(record.name, record.version, ecosystem, record.name, record.sha256)


def _went_in(record: InputRecord, file: Path) -> bool:
    """Whether `file` is what was read for the image. A library may have been found elsewhere than where the image has it."""
    return not _is_library(record.name) or record.name.startswith("ld-") or _digest(file) == record.sha256


def _is_library(name: str) -> bool:
    return ".so" in name


def _libraries(image: ContainerImage) -> Iterator[str]:
    for packed in image.layers:
        for entry in packed.layer.tree.entries:
            if isinstance(entry, File) and _is_library(entry.path.rpartition("/")[2]):
                yield entry.path


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


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
