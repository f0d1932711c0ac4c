"""Kernels that were unpacked once: files named by their sha256, and a record for each source that names them.

Each file is written whole or not at all, the record last, and all of them are hashed again when they are used (34 MB in well
under 0.1 s): a cut-off or damaged cache is the same as none, and mends itself.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from squib.build.kernels import Kernel
from squib.formats.kernel_module import KernelModule
from squib.formats.linux_image import KernelImage
from squib.host.files import cache_home, storage_errors, write_atomic
from squib.model.image import VMLINUX, FileRecord, InputRecord, KernelRecord

__all__ = ["folder", "image", "load", "named", "remove", "sha256_hex", "store"]

_FORMAT = 1


class _Module(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    sha256: str


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    vmlinux: str
    kernel: KernelRecord
    modules: tuple[_Module, ...]
    inputs: tuple[InputRecord, ...]
    needs_initrd: bool = True


def sha256_hex(data: bytes) -> str:
    """The SHA-256 of `data`, in hex."""
    return hashlib.sha256(data).hexdigest()


def load(key: str) -> Kernel | None:
    """The kernel that was stored under `key`; None where it is not there, or not whole."""
    record = _record(key)
    if record is None:
        return None
    vmlinux = _blob(record.vmlinux)
    modules = [(module.name, _blob(module.sha256)) for module in record.modules]
    if not vmlinux or not all(content for _, content in modules):
        return None
    file = FileRecord(VMLINUX, len(vmlinux), record.vmlinux)
    return Kernel(_path(record.vmlinux), file, record.kernel, tuple(modules), record.inputs, record.needs_initrd)


def image(kernel: Kernel) -> KernelImage:
    """The image that `kernel` was stored from."""
    return KernelImage(_read(kernel.vmlinux), kernel.record.release, kernel.record.load_mib)


def store(
    key: str,
    taken: KernelImage,
    modules: tuple[KernelModule, ...],
    *,
    source: str,
    inputs: tuple[InputRecord, ...],
    needs_initrd: bool = True,
) -> Kernel:
    """Keeps a kernel under `key`, in place of what was there. Raises StorageError and its kin."""
    record = _Record(
        format=_FORMAT,
        vmlinux=sha256_hex(taken.vmlinux),
        kernel=KernelRecord(taken.release, source, taken.load_mib),
        modules=tuple(_Module(module.name, sha256_hex(module.data)) for module in modules),
        inputs=inputs,
        needs_initrd=needs_initrd,
    )
    for digest, content in [(record.vmlinux, taken.vmlinux), *((sha256_hex(module.data), module.data) for module in modules)]:
        write_atomic(_path(digest), content)
    write_atomic(folder() / f"{key}.json", msgspec.json.encode(record), 0o600)
    file = FileRecord(VMLINUX, len(taken.vmlinux), record.vmlinux)
    held = tuple((module.name, module.data) for module in modules)
    return Kernel(_path(record.vmlinux), file, record.kernel, held, inputs, needs_initrd)


def remove(key: str) -> None:
    """Forgets what was stored under `key`, with the files that no other record names. Raises PermissionDeniedError, its kin."""
    with storage_errors(folder()):
        gone = _record(key)
        (folder() / f"{key}.json").unlink(missing_ok=True)
        if gone is not None:
            others = [record for path in folder().glob("*.json") if (record := _record(path.stem)) is not None]
            for digest in _digests(gone) - {digest for record in others for digest in _digests(record)}:
                _path(digest).unlink(missing_ok=True)


def named() -> dict[str, frozenset[Path]]:
    """The files of each kernel, its record among them, by the key that it was stored under."""
    with storage_errors(folder()):
        keys = [path.stem for path in folder().glob("*.json")]
    found = {key: record for key in keys if (record := _record(key)) is not None}
    return {
        key: frozenset({folder() / f"{key}.json", *folder().glob(f"{key}.config*"), *map(_path, _digests(record))})
        for key, record in found.items()
    }


def folder() -> Path:
    """Where the files and the records are."""
    return cache_home() / "kernels"


def _record(key: str) -> _Record | None:
    data = _read(folder() / f"{key}.json")
    try:
        record = msgspec.json.decode(data, type=_Record) if data else None
    except msgspec.MsgspecError:
        return None
    return record if record is not None and record.format == _FORMAT else None


def _digests(record: _Record) -> set[str]:
    return {record.vmlinux, *(module.sha256 for module in record.modules)}


def _path(digest: str) -> Path:
    return folder() / f"sha256-{digest}"


def _blob(digest: str) -> bytes:
    """The content with that digest, or nothing."""
    data = _read(_path(digest)) if len(digest) == 64 and digest.isalnum() else b""
    return data if sha256_hex(data) == digest else b""


def _read(path: Path) -> bytes:
    with storage_errors(path):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return b""
