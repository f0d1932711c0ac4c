"""cpio archives in the "newc" form, which the kernel unpacks (driver-api/early-userspace/buffer-format.rst).

Equal trees give equal bytes: inodes are numbered in the tree's order, times and owners are 0, nothing is linked. Reading is
strict: only what `pack` can have written is accepted, and anything else is a ValueError that says where.
"""

from __future__ import annotations

import re
import stat

from squib.model.tree import Device, Directory, Entry, File, RootfsTree, Symlink

__all__ = ["pack", "unpack"]

_MAGIC = b"070701"
_FIELD = re.compile(rb"[0-9A-F]{8}")
_HEADER_SIZE = 6 + 13 * 8
_TRAILER = "TRAILER!!!"
_BLOCK = 512
_MAX_SIZE = 0xFFFFFFFF


def pack(tree: RootfsTree) -> bytes:
    """The archive of `tree`, padded to 512 bytes. Raises ValueError for what the form cannot hold."""
    parts = [_member(inode, entry) for inode, entry in enumerate(tree.entries, start=1)]
    parts.append(_record(0, 0, _TRAILER, b""))
    archive = b"".join(parts)
    return archive + bytes(-len(archive) % _BLOCK)


def _member(inode: int, entry: Entry) -> bytes:
    name = entry.path[1:]
    if name == _TRAILER:
        raise ValueError(f"{entry.path} would end the archive")
    match entry:
        case Directory(mode=mode):
            return _record(inode, stat.S_IFDIR | mode, name, b"", links=2)
        case File(data=data, mode=mode):
            return _record(inode, stat.S_IFREG | mode, name, data)
        case Symlink(target=target):
            return _record(inode, stat.S_IFLNK | 0o777, name, target.encode("utf-8", "surrogateescape"))
        case Device(major=major, minor=minor, mode=mode):
            return _record(inode, stat.S_IFCHR | mode, name, b"", device=(major, minor))


def _record(inode: int, mode: int, name: str, data: bytes, *, links: int = 1, device: tuple[int, int] = (0, 0)) -> bytes:
    encoded = name.encode("utf-8", "surrogateescape") + b"\0"
    # ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
    fields = (inode, mode, 0, 0, links, 0, len(data), 0, 0, *device, len(encoded), 0)
    if any(not 0 <= field <= _MAX_SIZE for field in fields):
        raise ValueError(f"{name}: a number does not fit a cpio header")
    header = _MAGIC + b"".join(b"%08X" % field for field in fields)
    return _padded(header + encoded) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def unpack(archive: bytes) -> RootfsTree:
    """The tree in `archive`. Raises ValueError, with the offset, for all that `pack` does not write."""
    entries: list[Entry] = []
    offset = 0
    while True:
        fields = _fields(archive, offset)
        name_start = offset + _HEADER_SIZE
        name_end = name_start + fields[11]
        data_start = name_end + -name_end % 4
        data_end = data_start + fields[6]
        following = data_end + -data_end % 4
        if following > len(archive):
            raise ValueError(f"archive ends inside a member, at offset {offset}")
        name = archive[name_start:name_end].removesuffix(b"\0").decode("utf-8", "surrogateescape")
        if name == _TRAILER:
            break
        entries.append(_entry(offset, fields, name, archive[data_start:data_end]))
        offset = following
    tree = RootfsTree.of(entries)
    if pack(tree) != archive:
        raise ValueError(f"not in the canonical form (order, padding, owners or times), somewhere before offset {len(archive)}")
    return tree


def _fields(archive: bytes, offset: int) -> list[int]:
    header = archive[offset : offset + _HEADER_SIZE]
    if len(header) < _HEADER_SIZE or not header.startswith(_MAGIC):
        raise ValueError(f"no newc header at offset {offset}")
    raw = [header[start : start + 8] for start in range(6, _HEADER_SIZE, 8)]
    if not all(map(_FIELD.fullmatch, raw)):
        raise ValueError(f"a header field is not eight upper-case hex digits, at offset {offset}")
    return [int(field, 16) for field in raw]


def _entry(offset: int, fields: list[int], name: str, data: bytes) -> Entry:
    path, mode = f"/{name}", stat.S_IMODE(fields[1])
    match stat.S_IFMT(fields[1]):
        case stat.S_IFDIR:
            return Directory(path, mode)
        case stat.S_IFREG:
            return File(path, data, mode)
        case stat.S_IFLNK:
            return Symlink(path, data.decode("utf-8", "surrogateescape"))
        case stat.S_IFCHR:
            return Device(path, fields[9], fields[10], mode)
        case other:
            raise ValueError(f"{path}: a file of type {other:#o}, at offset {offset}")
