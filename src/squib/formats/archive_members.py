"""Single files out of an archive that others made: by their exact names, with a bound for each and for all that is unpacked.

Nothing is written anywhere, so no name in an archive can be a path.
"""

from __future__ import annotations

import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from typing import IO

__all__ = ["tgz_members", "zip_members"]

_ERRORS = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, OSError, KeyError, IndexError, OverflowError, NotImplementedError, RuntimeError, MemoryError),
)
"""What tarfile and zipfile raise for archives that are none; both are written for honest ones."""


def zip_members(file: IO[bytes], names: Iterable[str], *, max_bytes: int) -> list[bytes]:
    """The content of each of `names`, at most `max_bytes`. Raises ValueError, which says what is wrong."""
    try:
        with zipfile.ZipFile(file) as archive:
            return [_zip_member(archive, name, max_bytes) for name in names]
    except _ERRORS as error:
        raise ValueError(str(error) or type(error).__name__) from error


def _zip_member(archive: zipfile.ZipFile, name: str, max_bytes: int) -> bytes:
    # The size in the directory may be a lie: what counts is what comes.
    with archive.open(name) as member:
        return _within(member.read(max_bytes + 1), name, max_bytes)


def tgz_members(data: bytes, names: Iterable[str], *, max_bytes: int, max_unpacked: int) -> list[bytes]:
    """The content of each of `names`, regular files of at most `max_bytes`; of the whole at most `max_unpacked` are unpacked.

    Raises ValueError, which says what is wrong.
    """
    found: dict[str, bytes] = {}
    wanted = list(names)
    try:
        with (
            gzip.open(io.BytesIO(data)) as unpacked,
            tarfile.open(fileobj=_Bounded(unpacked, max_unpacked), mode="r|") as archive,
        ):
            for member in archive:
                if member.name in wanted and member.isreg() and (content := archive.extractfile(member)) is not None:
                    found[member.name] = _within(content.read(max_bytes + 1), member.name, max_bytes)
                if len(found) == len(wanted):
                    break
    except _ERRORS as error:
        raise ValueError(str(error) or type(error).__name__) from error
    lacking = [name for name in wanted if name not in found]
    if lacking:
        raise ValueError(f"it holds no file {lacking[0]}")
    return [found[name] for name in wanted]


def _within(content: bytes, name: str, max_bytes: int) -> bytes:
    if len(content) > max_bytes:
        raise ValueError(f"{name} is longer than {max_bytes:,} bytes")
    return content


class _Bounded(io.RawIOBase):
    """A stream that ends with an error after so many bytes."""

    def __init__(self, stream: gzip.GzipFile, most: int) -> None:
        super().__init__()
        self._stream, self._most, self._left = stream, most, most

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(min(size if size >= 0 else self._left + 1, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise OSError(f"it unpacks to more than {self._most:,} bytes")
        return data
