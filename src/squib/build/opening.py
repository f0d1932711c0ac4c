"""An artifact that was built before: opened, and each of its files compared with what its manifest says.

Apart from the building of one, so that a run from a folder loads nothing of that.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from squib.errors import ApplianceError, MissingError
from squib.host.files import storage_errors
from squib.model.image import INITRD, MANIFEST, ROOTFS, VMLINUX, Artifact, FileRecord, rebuild_hint
from squib.wire import guest_spec, manifest

__all__ = ["open_artifact", "record"]


def open_artifact(folder: Path) -> Artifact:
    """The artifact in `folder`, each file compared with its digest. Raises MissingError, ApplianceError."""
    found = Artifact(folder, manifest.decode(_read(folder / MANIFEST), folder))
    again = rebuild_hint(folder, found.manifest.appliance.name)
    if found.manifest.abi != guest_spec.ABI:
        raise ApplianceError(
            f"{folder} speaks version {found.manifest.abi} of the guest ABI, this squib {guest_spec.ABI}", hint=again
        )
    records = {file.name: file for file in found.manifest.files}
    for name in (*([INITRD] if found.initrd is not None else []), ROOTFS, VMLINUX):
        path = folder / name
        with storage_errors(path):
            if not path.is_file():
                raise MissingError(f"{path} is not there", hint=again)
        if name not in records or record(path) != records[name]:
            raise ApplianceError(f"{path} is not the file that {MANIFEST} tells of: it was changed or damaged", hint=again)
    return found


def record(path: Path) -> FileRecord:
    """Name, size and digest of a file; read in pieces, since a whole kernel in memory takes twice as long.

    Raises MissingError and its like.
    """
    with storage_errors(path), path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return FileRecord(path.name, file.tell(), digest.hexdigest())


def _read(path: Path) -> bytes:
    with storage_errors(path):
        return path.read_bytes()
