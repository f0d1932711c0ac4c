"""A software bill of materials as values: what is in an image, part by part."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from squib.model.container import ContainerImage

__all__ = ["Bill", "Ecosystem", "MachineImage", "Part"]


class Ecosystem(StrEnum):
    """Who names a part, as package URLs say it (github.com/package-url/purl-spec)."""

    DEBIAN = "deb"
    PYPI = "pypi"
    GENERIC = "generic"


@dataclass(frozen=True, slots=True)
class Part:
    """`namespace` and `arch` are for Debian's; `file` what went in, with the digest `sha256` it had on the building machine.

    `cpe` is its name in the National Vulnerability Database (Common Platform Enumeration 2.3), where package URLs tell nothing.
    """

    name: str
    version: str
    ecosystem: Ecosystem
    file: str
    sha256: str
    namespace: str = ""
    arch: str = ""
    cpe: str = ""


@dataclass(frozen=True, slots=True)
class MachineImage:
    """What a machine boots: the appliance's name, its files with their SHA-256 in hex; `created` in seconds since 1970."""

    name: str
    files: tuple[tuple[str, str], ...]
    created: int


@dataclass(frozen=True, slots=True)
class Bill:
    """The parts of `image`, sorted, each once."""

    image: ContainerImage | MachineImage
    parts: tuple[Part, ...]
