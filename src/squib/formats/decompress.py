"""The compressions that kernels and modules come in, each to its end, with a bound, and with one error for whatever is wrong.

The kernel's own build appends the unpacked size (4 bytes, little endian) to a payload; so bytes after the end of the stream are
left alone here, and whoever knows the format looks at them.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator

from squib.errors import ApplianceError

__all__ = ["compression", "decompress"]

_LZ4_LEGACY = b"\x02\x21\x4c\x18"
_LZ4_BLOCK = 8 * 1024 * 1024
_ZSTD_PIECE = 1024

_MAGICS = (
    (b"\x1f\x8b\x08", "gzip"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (_LZ4_LEGACY, "lz4"),
    (b"BZh", "bzip2"),
    (b"\x5d\x00\x00", "lzma"),
)


def compression(data: bytes) -> str:
    """The name of the compression that `data` begins with, or an empty string."""
    return next((name for magic, name in _MAGICS if data.startswith(magic)), "")


def decompress(data: bytes, *, limit: int, what: str) -> bytes:
    """What `data` holds, at most `limit` bytes. Raises ApplianceError, which names `what`, for anything that is wrong."""
    name = compression(data)
    unpack = _UNPACK.get(name)
    if unpack is None:
        raise ApplianceError(f"{what} is compressed in a way that squib does not know (it begins with {data[:6].hex(' ')})")
    try:
        unpacked = unpack(data, limit + 1)
    except _ERRORS as error:
        raise ApplianceError(f"{what} is damaged or cut off: {name} says {error}", hint="get it anew") from error
    if len(unpacked) > limit:
        raise ApplianceError(f"{what} unpacks to more than {limit:,} bytes: that cannot be right", hint="get it anew")
    return unpacked


# lz4's own error is a RuntimeError; its module is imported only where it is needed.
_ERRORS = (zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, RuntimeError, struct.error, MemoryError)


def _whole(unpacked: bytes, *, eof: bool, limit: int) -> bytes:
    if not eof and len(unpacked) < limit:
        raise EOFError("the stream ends too early")
    return unpacked


def _gzip(data: bytes, limit: int) -> bytes:
    stream = zlib.decompressobj(wbits=31)
    return _whole(stream.decompress(data, limit), eof=stream.eof, limit=limit)


def _xz(data: bytes, limit: int) -> bytes:
    stream = lzma.LZMADecompressor()
    return _whole(stream.decompress(data, limit), eof=stream.eof, limit=limit)


def _bzip2(data: bytes, limit: int) -> bytes:
    stream = bz2.BZ2Decompressor()
    return _whole(stream.decompress(data, limit), eof=stream.eof, limit=limit)


def _zstd(data: bytes, limit: int) -> bytes:
    import zstandard

    stream = zstandard.ZstdDecompressor(max_window_size=2**31).decompressobj()
    parts: list[bytes] = []
    size = 0
    # In pieces, because this interface has no bound of its own: a block of 128 KiB takes at least 4 bytes (RFC 8878, 3.1.1.2).
    for start in range(0, len(data), _ZSTD_PIECE):
        try:
            parts.append(stream.decompress(data[start : start + _ZSTD_PIECE]))
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from error
        size += len(parts[-1])
        if stream.eof or size >= limit:
            break
    return _whole(b"".join(parts), eof=stream.eof, limit=limit)


def _lz4(data: bytes, limit: int) -> bytes:
    """Legacy frames: blocks of up to 8 MiB, each after its length (lz4's doc/lz4_Frame_format.md); no mark for the end."""
    import lz4.block

    parts: list[bytes] = []
    size = 0
    for block in _lz4_blocks(data):
        parts.append(lz4.block.decompress(block, uncompressed_size=_LZ4_BLOCK))
        size += len(parts[-1])
        if size >= limit:
            break
    return b"".join(parts)


def _lz4_blocks(data: bytes) -> Iterator[bytes]:
    offset = len(_LZ4_LEGACY)
    while len(data) - offset > 4:  # what is left at the end of a kernel's payload is its unpacked size
        (length,) = struct.unpack_from("<I", data, offset)
        offset += 4
        if data[offset - 4 : offset] == _LZ4_LEGACY:
            continue
        if not 0 < length <= len(data) - offset:
            raise ValueError(f"a block of {length} bytes, with {len(data) - offset} left")
        yield data[offset : offset + length]
        offset += length


_UNPACK: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _gzip,
    "xz": _xz,
    "lzma": _xz,
    "bzip2": _bzip2,
    "zstd": _zstd,
    "lz4": _lz4,
}
