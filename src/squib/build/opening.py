"""An artifact that was built before: opened, and each of its files compared with what its manifest says.

The rule: what was hashed is what boots. Each file is opened once, beneath its folder and not through a link; it is hashed
through that descriptor, and the descriptor is what a VMM is given (vmm.handover). So that nobody changes it in between, the
folder and its files are this user's or root's, and no other user may write them.

Apart from the building of one, so that a run from a folder loads nothing of that.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from squib.errors import ApplianceError, MissingError, SquibError, TakenError
from squib.host import publication
from squib.host.files import storage_errors
from squib.host.held import HeldFile
from squib.host.ownership import check_owned, check_unshared
from squib.host.untrusted import Folder, read_open
from squib.model.image import MANIFEST, Artifact, FileRecord, rebuild_hint
from squib.wire import guest_spec, manifest

__all__ = ["copy_artifact", "described", "open_artifact", "read_manifest", "record"]

_TRIES = 5
"""So often the artifact may be built anew while it is opened."""
_CHUNK = 1 << 20
_FILE_MODE = 0o644
"""In a folder that is its user's alone; the user of a jail has to be able to read it (vmm.firecracker.jail)."""


def open_artifact(folder: Path) -> Artifact:
    """The artifact in `folder`, each file compared with its digest, and held open.

    Raises MissingError, ApplianceError, and PermissionDeniedError where another user could change it.
    """
    with Folder(folder) as place:
        place.check_owned()
        publication.finish(place.fileno(), last=MANIFEST)
        return _current(place, lambda known, _: replace(known, held=_held(place, known)))


def described(place: Folder) -> Artifact:
    """The artifact in `place` as its manifest has it; its files are not opened. Raises MissingError, ApplianceError."""
    return _described(place, read_manifest(place))


def copy_artifact(place: Folder, out: Path) -> Artifact:
    """Copies the artifact in `place`, which may be another user's, into the new folder `out`: what is hashed are the copies.

    Raises MissingError, ApplianceError, PermissionDeniedError where others than its owner could change it.
    """
    check_unshared(place.fileno(), place.path)
    with storage_errors(out):
        out.mkdir(mode=0o700)
    return _current(place, lambda known, text: _copied(place, known, text, out))


def read_manifest(place: Folder) -> bytes:
    """The manifest's text. Raises MissingError, ApplianceError, PermissionDeniedError where not only its owner may write it."""
    path = place.path / MANIFEST
    try:
        with place.open(_where(place, MANIFEST), max_bytes=manifest.MAX_BYTES) as file:
            check_unshared(file.fileno(), path)
            return read_open(file, path, manifest.MAX_BYTES)
    except MissingError as error:
        raise MissingError(f"{path} is not there", hint=rebuild_hint(place.path)) from error


def record(path: Path) -> FileRecord:
    """Name, size and digest of a file; read in pieces, since a whole kernel in memory takes twice as long.

    Raises MissingError and its like.
    """
    with storage_errors(path), path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return FileRecord(path.name, file.tell(), digest.hexdigest())


def _current(place: Folder, take: Callable[[Artifact, bytes], Artifact]) -> Artifact:
    """What `take` makes of the artifact; anew where that failed and the artifact was built anew meanwhile."""
    for _ in range(_TRIES):
        text = read_manifest(place)
        try:
            return take(_described(place, text), text)
        except SquibError:
            if read_manifest(place) == text:
                raise
    raise TakenError(f"{place.path} is built anew again and again", hint="try again when that is over")


def _described(place: Folder, text: bytes) -> Artifact:
    known = manifest.decode(text, place.path)
    if known.abi != guest_spec.ABI:
        raise ApplianceError(
            f"{place.path} speaks version {known.abi} of the guest ABI, this squib {guest_spec.ABI}",
            hint=rebuild_hint(place.path, known.appliance.name),
        )
    return Artifact(place.path, known, hashlib.sha256(text).hexdigest())


def _held(place: Folder, artifact: Artifact) -> tuple[tuple[str, HeldFile], ...]:
    held = []
    for expected in artifact.manifest.files:
        with _opened(place, artifact, expected) as file:
            check_owned(file.fileno(), place.path / expected.name)
            _compare(file, place, artifact, expected)
            held.append((expected.name, HeldFile(os.dup(file.fileno()))))
    return tuple(held)


def _copied(place: Folder, artifact: Artifact, text: bytes, out: Path) -> Artifact:
    for expected in artifact.manifest.files:
        with (
            _opened(place, artifact, expected) as file,
            storage_errors(out / expected.name),
            (out / expected.name).open("w+b", buffering=0) as copy,
        ):
            check_unshared(file.fileno(), place.path / expected.name)
            _copy(file, copy, expected.size)
            copy.seek(0)
            _compare(copy, place, artifact, expected)
            os.fchmod(copy.fileno(), _FILE_MODE)
    with storage_errors(out):
        (out / MANIFEST).write_bytes(text)
    return replace(artifact, folder=out)


def _opened(place: Folder, artifact: Artifact, expected: FileRecord) -> io.FileIO:
    """The file that `expected` tells of, and of its size. Raises MissingError, ApplianceError."""
    try:
        where = _where(place, expected.name)
        status = place.status(where)
        if stat.S_ISREG(status.st_mode) and status.st_size != expected.size:
            raise _changed(place, artifact, expected)
        return place.open(where, max_bytes=expected.size)
    except MissingError as error:
        raise MissingError(f"{place.path / expected.name} is not there", hint=_again(place, artifact)) from error


def _compare(file: io.FileIO, place: Folder, artifact: Artifact, expected: FileRecord) -> None:
    with storage_errors(place.path / expected.name):
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != expected.sha256 or file.tell() != expected.size:
            raise _changed(place, artifact, expected)


def _copy(source: io.FileIO, target: io.FileIO, size: int) -> None:
    """At most `size` bytes: a file that grows meanwhile is not taken whole."""
    while size and (chunk := source.read(min(size, _CHUNK))):
        target.write(chunk)
        size -= len(chunk)


def _where(place: Folder, name: str) -> str:
    return publication.find(place.fileno(), name, last=MANIFEST)


def _changed(place: Folder, artifact: Artifact, expected: FileRecord) -> ApplianceError:
    return ApplianceError(
        f"{place.path / expected.name} is not the file that {MANIFEST} tells of: it was changed or damaged",
        hint=_again(place, artifact),
    )


def _again(place: Folder, artifact: Artifact) -> str:
    return rebuild_hint(place.path, artifact.manifest.appliance.name)
