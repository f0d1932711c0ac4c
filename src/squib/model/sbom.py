"""A software bill of materials as values: what is in a container image, part by part."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from squib.model.container import ContainerImage

__all__ = ["Bill", "Ecosystem", "Part"]


class Ecosystem(StrEnum):
    """Who names a part, as package URLs say it (github.com/package-url/purl-spec)."""

    DEBIAN = "deb"
    PYPI = "pypi"
    GENERIC = "generic"


@dataclass(frozen=True, slots=True)
class Part:
    """`namespace` and `arch` are for Debian's; `file` what went in, with the digest `sha256` it had on the building machine."""

    name: str
    version: str
    ecosystem: Ecosystem
    file: str
    sha256: str
    namespace: str = ""
    arch: str = ""


@dataclass(frozen=True, slots=True)
class Bill:
    """The parts of `image`, sorted, each once."""

    image: ContainerImage
    parts: tuple[Part, ...]
