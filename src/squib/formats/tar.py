"""tar archives as POSIX has them (pax: ustar headers, with extended records only for what ustar cannot say).

Equal trees give equal bytes: the tree's order, owner and group 0 without names, time 0, no padding beyond what the form asks.
That is what layers of container images are made of, and the archive around them.
"""

from __future__ import annotations

from squib.model.tree import Device, Directory, Entry, File, RootfsTree, Symlink

__all__ = ["pack"]

_BLOCK = 512
_RECORD = 20 * _BLOCK
_NAME_BYTES = 100
_MAX_SIZE = 0o77777777777
_MAX_DEVICE = 0o7777777
_FILE, _SYMLINK, _CHARACTER, _DIRECTORY, _EXTENDED = b"0", b"2", b"3", b"5", b"x"


def pack(tree: RootfsTree) -> bytes:
    """The archive of `tree`, with names relative to its root. Raises ValueError for a device number that does not fit."""
    parts: list[bytes] = []
    for entry in tree.entries:
        parts += _member(entry)
    size = sum(map(len, parts)) + 2 * _BLOCK  # two empty blocks end an archive
    parts.append(bytes(2 * _BLOCK + -size % _RECORD))
    return b"".join(parts)


def _member(entry: Entry) -> list[bytes]:
    name = _encoded(entry.path[1:])
    match entry:
        case Directory(mode=mode):
            return _records(name + b"/", mode, _DIRECTORY)
        case File(data=data, mode=mode):
            return [*_records(name, mode, _FILE, size=len(data)), data, bytes(-len(data) % _BLOCK)]
        case Symlink(target=target):
            return _records(name, 0o777, _SYMLINK, link=_encoded(target))
        case Device(major=major, minor=minor, mode=mode):
            if not (0 <= major <= _MAX_DEVICE and 0 <= minor <= _MAX_DEVICE):
                raise ValueError(f"{entry.path}: a device number does not fit a tar header")
            return _records(name, mode, _CHARACTER, device=(major, minor))


def _records(
    name: bytes, mode: int, kind: bytes, *, size: int = 0, link: bytes = b"", device: tuple[int, int] = (0, 0)
) -> list[bytes]:
    """The headers of one member: an extended one before it, where its own cannot hold all."""
    extended: dict[bytes, bytes] = {}
    # Bytes outside ASCII have no meaning in a ustar header; a pax record is UTF-8.
    if len(name) > _NAME_BYTES or not name.isascii():
        extended[b"path"] = name
    if len(link) > _NAME_BYTES or not link.isascii():
        extended[b"linkpath"] = link
    if size > _MAX_SIZE:
        extended[b"size"] = b"%d" % size
    plain = _header(name[:_NAME_BYTES], mode, kind, 0 if size > _MAX_SIZE else size, link=link[:_NAME_BYTES], device=device)
    if not extended:
        return [plain]
    body = b"".join(_pax(key, value) for key, value in extended.items())
    return [_header(b"././@PaxHeader", 0o644, _EXTENDED, len(body)), body, bytes(-len(body) % _BLOCK), plain]


def _pax(key: bytes, value: bytes) -> bytes:
    """`LENGTH KEY=VALUE` and a line feed, where LENGTH counts itself (pax, "pax Extended Header")."""
    rest = b" %s=%s\n" % (key, value)
    length = len(rest)
    while length != len(rest) + len(b"%d" % length):
        length = len(rest) + len(b"%d" % length)
    return b"%d%s" % (length, rest)


def _header(name: bytes, mode: int, kind: bytes, size: int, *, link: bytes = b"", device: tuple[int, int] = (0, 0)) -> bytes:
    # name mode uid gid size mtime chksum typeflag linkname magic+version uname gname devmajor devminor prefix
    fields = (
        *(name.ljust(100, b"\0"), _octal(mode, 8), _octal(0, 8), _octal(0, 8), _octal(size, 12), _octal(0, 12)),
        *(b" " * 8, kind, link.ljust(100, b"\0"), b"ustar\x0000", bytes(32), bytes(32)),
        *(_octal(device[0], 8), _octal(device[1], 8), bytes(155), bytes(12)),
    )
    header = b"".join(fields)
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]


def _octal(number: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, number)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
