"""Packages from the distribution, as any user: what apt knows of them, and their files. Nothing is installed."""

from __future__ import annotations

import io
import os
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path

from squib.build.kernel_cache import sha256_hex
from squib.errors import ApplianceError, HostError, StorageError, UnavailableError
from squib.host import command
from squib.host.files import storage_errors

__all__ = ["Package", "download", "open_package", "show"]

_ASK_S = 60
_DOWNLOAD_S = 1800
_UNPACK_S = 300

_KERNEL_PATH = "squib can also use a kernel of yours: --kernel PATH"


@dataclass(frozen=True, slots=True)
class Package:
    """One version of a package; `depends` are alternatives (names, best first) for each thing it needs."""

    name: str
    version: str
    sha256: str
    depends: tuple[tuple[str, ...], ...]


def show(name: str) -> Package | None:
    """The version of `name` that apt would install; None where it knows none. Raises UnavailableError without apt."""
    try:
        output = command.run(
            ["apt-cache", "show", "--no-all-versions", name], env=_environment(), timeout=_ASK_S, package="apt"
        )
    except UnavailableError as error:
        raise UnavailableError("this system has no apt to get a kernel with", hint=_KERNEL_PATH) from error
    except HostError:
        return None  # apt-cache's "No packages found" is exit status 100
    fields = _fields(output.decode("utf-8", "replace"))
    if not {"Package", "Version", "SHA256"} <= fields.keys():
        return None
    needs = [*_needs(fields.get("Pre-Depends", "")), *_needs(fields.get("Depends", ""))]
    return Package(fields["Package"], fields["Version"], fields["SHA256"], tuple(needs))


def _fields(stanza: str) -> dict[str, str]:
    """The first stanza of a control file (deb822(5)); continued lines are of no use here."""
    lines = stanza.strip().partition("\n\n")[0].splitlines()
    pairs = [line.partition(":") for line in lines if not line.startswith((" ", "\t"))]
    return {name: value.strip() for name, _, value in pairs}


def _needs(text: str) -> list[tuple[str, ...]]:
    return [
        tuple(re.split(r"[\s(:]", choice.strip())[0] for choice in need.split("|")) for need in text.split(",") if need.strip()
    ]


def download(package: Package, folder: Path) -> Path:
    """The .deb of `package`, in `folder`, with the hash that apt promised. Raises UnavailableError or StorageError."""
    before = set(folder.iterdir())
    try:
        command.run(
            # As root apt wants to become another user, who may not enter the folder: it is ours alone.
            ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", f"{package.name}={package.version}"],
            cwd=folder,
            env=_environment(),
            timeout=_DOWNLOAD_S,
            package="apt",
        )
    except HostError as error:
        raise _explain(package, error) from error
    found = [path for path in folder.iterdir() if path not in before and path.suffix == ".deb"]
    if len(found) != 1:
        raise UnavailableError(f"apt-get download {package.name} left no package", hint=_KERNEL_PATH)
    with storage_errors(found[0]):
        intact = sha256_hex(found[0].read_bytes()) == package.sha256
    if not intact:
        raise UnavailableError(f"the package {package.name} arrived damaged", hint="try again; or sudo apt-get update")
    return found[0]


def _explain(package: Package, error: HostError) -> UnavailableError | StorageError:
    said = error.detail
    if "No space left" in said or "not enough free space" in said.lower():
        return StorageError(f"no space left to download {package.name}", hint="free some space: df -h", detail=said)
    if re.search(r"\b404\b|Can't find a source|Unable to locate", said):
        hint = "the package lists are old: sudo apt-get update"
    else:
        hint = f"is the network there? Then try again; {_KERNEL_PATH}"
    return UnavailableError(f"the kernel package {package.name} could not be downloaded", hint=hint, detail=said)


def open_package(path: Path) -> tarfile.TarFile:
    """The files of a .deb, in memory."""
    data = command.run(["dpkg-deb", "--fsys-tarfile", path], timeout=_UNPACK_S, package="dpkg")
    try:
        return tarfile.open(fileobj=io.BytesIO(data), mode="r:")
    except tarfile.TarError as error:
        raise ApplianceError(f"the package {path.name} is damaged", hint="get it anew") from error


def _environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C"}
