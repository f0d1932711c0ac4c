"""A container image as one file: at once an OCI layout (image-spec, image-layout.md) and an archive for `docker load`.

Blobs lie once, under blobs/sha256; index.json and docker's manifest.json both point there. Equal blobs give equal bytes.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable

from squib.formats import tar
from squib.model.container import Compression, Descriptor
from squib.model.tree import File, RootfsTree

__all__ = ["archive", "blob_path", "compress", "describe", "digest"]

_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_GZIP_LEVEL = 6
_ZSTD_LEVEL = 19


def digest(data: bytes) -> str:
    """`sha256:HEX`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def describe(data: bytes, media_type: str) -> Descriptor:
    """What points to the blob `data`."""
    return Descriptor(media_type, digest(data), len(data))


def compress(data: bytes, compression: Compression) -> bytes:
    """`data` compressed; no name and no time are in it, so equal data and an equal library give equal bytes."""
    match compression:
        case Compression.GZIP:
            packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW, 9)
            return packer.compress(data) + packer.flush()
        case Compression.ZSTD:
            import zstandard

            return zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True).compress(data)


def blob_path(digest_: str) -> str:
    """Where a blob lies in the archive."""
    return f"blobs/{digest_.replace(':', '/')}"


def archive(blobs: Iterable[bytes], *, index: bytes, layout: bytes, docker: bytes) -> bytes:
    """The whole file: `blobs`, and the three JSON documents that lead to them."""
    by_path = {f"/{blob_path(digest(blob))}": blob for blob in blobs}
    files = [File(path, blob) for path, blob in by_path.items()]
    files += [File("/index.json", index), File("/oci-layout", layout), File("/manifest.json", docker)]
    return tar.pack(RootfsTree.of(files))
