"""What `squib doctor` found on a machine, as values; and what it makes of that: rows of ok, warning or missing.

A finding says what is there, never whether that is enough: `app.verdicts` judges, so every judgement can be tested from a
made-up finding.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

__all__ = [
    "BillLibraryFound",
    "DatabaseFound",
    "DeviceFound",
    "FirecrackerFound",
    "FolderFound",
    "KernelBuildFound",
    "KernelFound",
    "KvmFound",
    "Level",
    "MemoryFound",
    "NamespacesFound",
    "PackageFound",
    "ProgramFound",
    "PythonFound",
    "QemuFound",
    "Row",
    "SystemFound",
    "TunedFound",
    "Unlooked",
    "User",
]


class Level(StrEnum):
    """How a check ended. WARNING: squib works without it, but not as well; MISSING: something squib needs is not there."""

    OK = "ok"
    WARNING = "warning"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report; `remedy` is a command to paste, or a sentence where no command does it.

    `unseen`: it could not be looked at, and `found` says why.
    """

    name: str
    level: Level
    found: str
    remedy: str = ""
    unseen: bool = False


@dataclass(frozen=True, slots=True)
class Unlooked:
    """A look that failed or took too long: why, and the remedy where one is known."""

    why: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class User:
    """Who asks, for remedies; `has_apt`: whether packages are installed with apt here."""

    name: str
    root: bool
    has_apt: bool


@dataclass(frozen=True, slots=True)
class SystemFound:
    """`kernel` is the release of the host's kernel (uname -r), `name` the distribution's own name."""

    os: str
    machine: str
    kernel: str
    name: str


@dataclass(frozen=True, slots=True)
class PackageFound:
    """A Python package that squib depends on; `version` is None where it cannot be imported, "" where nobody can tell."""

    name: str
    version: str | None


@dataclass(frozen=True, slots=True)
class PythonFound:
    """The interpreter that runs squib, and so goes into images."""

    version: tuple[int, int, int]
    executable: str
    packages: tuple[PackageFound, ...]


@dataclass(frozen=True, slots=True)
class ProgramFound:
    """`path` is None where it is not installed; `problem` is why it does not run, empty where it does."""

    name: str
    package: str
    path: Path | None
    version: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class QemuFound:
    """`problem` is what came of setting a machine up in its sandbox, empty where that went well; `said` is QEMU's word."""

    program: ProgramFound
    problem: str = ""
    said: str = ""


@dataclass(frozen=True, slots=True)
class FirecrackerFound:
    """`fetched`: squib did; `digest_from`: where the digest that it has was taken from, empty where squib does not know it."""

    program: ProgramFound
    fetched: bool
    digest_from: str


@dataclass(frozen=True, slots=True)
class KernelFound:
    """`release` and `source` of the cached guest kernel, empty where none is; `offered`: the package that apt would fetch.

    `apt`: whether there is one to ask; `lists`: whether it has lists of packages at all.
    """

    release: str
    source: str
    offered: str
    lists: bool
    apt: bool


@dataclass(frozen=True, slots=True)
class TunedFound:
    """`release` of the tuned kernel that `--kernel tuned` takes, empty where none is."""

    release: str


@dataclass(frozen=True, slots=True)
class KernelBuildFound:
    """`lacking`: the system's packages that compile a kernel and are not here."""

    lacking: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BillLibraryFound:
    """What writes bills of materials, and the command that installs it."""

    package: PackageFound
    install: str


@dataclass(frozen=True, slots=True)
class JailerFound:
    """What root's Firecrackers are jailed with: `limits` is where cgroup v2 is mounted with all `controllers`, if it is."""

    firecracker: Path | None
    jailer: Path | None
    limits: Path | None
    controllers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeviceFound:
    """A device file: `who` may open it (as `root:kvm 0660`), `problem` and `hint` where this user cannot use it."""

    path: Path
    who: str
    problem: str
    hint: str


@dataclass(frozen=True, slots=True)
class KvmFound:
    """/dev/kvm and its driver. `works` is None where no trial boot was made, and `untried` says why.

    `trial` tells what came of one in words; `kept`: it was made before, in this boot of the host. `hint`: how one can be made.
    """

    device: DeviceFound
    module: str
    hardware: bool
    works: bool | None = None
    trial: str = ""
    kept: bool = False
    untried: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class NamespacesFound:
    """`problem`: why this user can make no user namespace with a network in it, empty where that works.

    `settings` are the sysctls that may forbid it, with their values.
    """

    problem: str
    settings: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class FolderFound:
    """A folder of squib's; where it is not there yet, `nearest` is the folder above it that is.

    `mode` is None where it is not there; `problem`: why nothing can be written there, empty where that works.
    """

    purpose: str
    path: Path
    nearest: Path
    mode: int | None
    problem: str
    free_bytes: int


@dataclass(frozen=True, slots=True)
class MemoryFound:
    """In MiB."""

    available_mib: int
    total_mib: int


@dataclass(frozen=True, slots=True)
class DatabaseFound:
    """The record of what runs: `machines` is None where there is no file yet; `problem` where it cannot be used."""

    path: Path
    machines: int | None
    problem: str
    hint: str
