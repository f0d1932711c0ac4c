"""Packages from the distribution, as any user: what apt knows of them, and their files. Nothing is installed."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from squib.errors import ApplianceError, HostError, StorageError, UnavailableError
from squib.host import command
from squib.host.files import storage_errors
from squib.host.untrusted import open_file

__all__ = ["Package", "download", "open_package", "show"]

_ASK_S = 60
_DOWNLOAD_S = 1800
_UNPACK_S = 300
_CHUNK = 1 << 20
_MAX_BYTES = 1 << 30
"""Of a package; that of a kernel's source has a seventh of it."""

_SANDBOX_USER = "_apt"

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
    with _folder_for_apt(folder) as (there, options):
        try:
            command.run(
                ["apt-get", "-q", *options, "download", f"{package.name}={package.version}"],
                cwd=there,
                env=_environment(),
                timeout=_DOWNLOAD_S,
                package="apt",
            )
        except HostError as error:
            raise _explain(package, error) from error
        found = [path for path in there.iterdir() if path.suffix == ".deb"]
        if len(found) != 1:
            raise UnavailableError(f"apt-get download {package.name} left no package", hint=_KERNEL_PATH)
        return _taken(found[0], package, folder / f"{package.name}.deb")


@contextlib.contextmanager
def _folder_for_apt(folder: Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """An empty folder to download into, and options for apt.

    As root apt downloads as the user _apt (apt.conf(5), APT::Sandbox::User), whom a folder of root's own does not let in.
    """
    public = Path("/var/tmp")  # noqa: S108 - a new folder in it, on a disk rather than in memory
    sandboxed = os.geteuid() == 0 and public.is_dir()
    with storage_errors(folder), tempfile.TemporaryDirectory(prefix="squib-", dir=public if sandboxed else folder) as name:
        options: tuple[str, ...] = ()
        if sandboxed:
            try:
                shutil.chown(name, _SANDBOX_USER)
            except (LookupError, OSError):  # no such user; or a namespace that has only this one, whose root is none
                options = ("-o", "APT::Sandbox::User=root")
        yield Path(name), options


def _taken(source: Path, package: Package, target: Path) -> Path:
    """A copy at `target` of what apt's user left; what is compared with the hash is the copy."""
    digest = hashlib.sha256()
    with open_file(source, max_bytes=_MAX_BYTES) as reader, storage_errors(target), target.open("wb") as writer:
        left = _MAX_BYTES
        while chunk := reader.read(min(_CHUNK, left)):
            left -= len(chunk)
            digest.update(chunk)
            writer.write(chunk)
    if digest.hexdigest() != package.sha256:
        raise UnavailableError(f"the package {package.name} arrived damaged", hint="try again; or sudo apt-get update")
    return target


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
