"""A tree as an ext4 image, by mke2fs and debugfs (e2fsprogs): no mount, no loop device, no root.

The rules: what debugfs complains of is an error, since it ends with status 0 all the same. Equal trees give equal bytes with
one version of e2fsprogs. mke2fs takes owner, mode and times from the files that
it copies, so debugfs then sets them all; the host's mke2fs.conf, locale, clock and SELinux labels are kept out. There is no
journal and no reserve: the file-system is only ever read.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from squib.errors import ApplianceError, HostError, StorageError
from squib.host import command
from squib.host.files import staging, storage_errors
from squib.model.image import InputRecord
from squib.model.tree import Device, Directory, Entry, File, RootfsTree, Symlink, has_control_character

__all__ = ["Programs", "block_count", "debugfs_script", "find_programs", "write"]

BLOCK_SIZE = 4096
_INODE_SIZE = 256
_FIRST_FREE_INODE = 11
"""1 to 10 are reserved, 11 is lost+found (Documentation/filesystems/ext4/special_inodes.rst)."""

_BLOCKS_IN_GROUP = 8 * BLOCK_SIZE
_LEAST_IN_GROUP = 50
_LOST_AND_FOUND_BLOCKS = 4
_INLINE_SYMLINK = 60
_EXTENTS_IN_INODE = 4
_UUID = "9d3f7c64-5b0e-4f0c-8a51-5f7371756962"
"""Constant: an image is told apart by its digest, and /dev/vda is found by its place."""

_FEATURES = "none,extent,filetype,large_file,sparse_super,extra_isize"
_TIMEOUT_S = 300.0
_CONFIGURATION = "[defaults]\nbase_features = extent\nenable_periodic_fsck = 0\n[fs_types]\next4 = {\n}\n"
_TIME_FIELDS = ("atime", "ctime", "mtime", "crtime")


@dataclass(frozen=True, slots=True)
class Programs:
    """The two programs of e2fsprogs. `keeps_xattrs_out`: this mke2fs knows how (since 1.47)."""

    mke2fs: Path
    debugfs: Path
    keeps_xattrs_out: bool
    inputs: tuple[InputRecord, ...]


def find_programs() -> Programs:
    """Raises UnavailableError where e2fsprogs is missing."""
    mke2fs, debugfs = (command.find(name, package="e2fsprogs") for name in ("mke2fs", "debugfs"))
    with storage_errors(mke2fs):
        contents = {path: path.read_bytes() for path in (mke2fs, debugfs)}
    version = re.search(rb"\0(1\.[0-9]+(?:\.[0-9]+)*)\0", contents[mke2fs])
    inputs = tuple(
        InputRecord(path.name, version[1].decode() if version else "", hashlib.sha256(data).hexdigest())
        for path, data in contents.items()
    )
    return Programs(mke2fs, debugfs, b"no_copy_xattrs" in contents[mke2fs], inputs)


def write(tree: RootfsTree, path: Path, programs: Programs) -> None:
    """Makes the image at `path`, whose folder exists. Raises ApplianceError, HostError, StorageError, PermissionDeniedError.

    Where it fails, a part of the file may be left: give a path inside a staging folder.
    """
    _refuse_what_it_cannot_hold(tree)
    inodes = -(-(len(tree.entries) + _FIRST_FREE_INODE) // 16) * 16
    with staging(path.parent) as folder:
        configuration = folder / "mke2fs.conf"
        with storage_errors(folder):
            configuration.write_text(_CONFIGURATION, encoding="ascii")
            _stage(tree, folder / "tree")
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "TZ": "UTC", "E2FSPROGS_FAKE_TIME": "1"}
        environment["MKE2FS_CONFIG"] = str(configuration)
        try:
            command.run(_mke2fs(programs, folder / "tree", path, inodes, tree), env=environment, timeout=_TIMEOUT_S)
            script = folder / "debugfs"
            with storage_errors(script):
                script.write_bytes(debugfs_script(tree))
            command.run(
                (programs.debugfs, "-w", "-f", script, path), env=environment, timeout=_TIMEOUT_S, complaint=_is_complaint
            )
        except HostError as error:
            if "No space left" in error.detail:
                raise StorageError(
                    f"no space left to write {path.name}", hint=f"free some space: df -h {path.parent.parent}"
                ) from error
            raise


def _mke2fs(programs: Programs, source: Path, path: Path, inodes: int, tree: RootfsTree) -> tuple[str | Path, ...]:
    extended = f"hash_seed={_UUID},root_owner=0:0,lazy_itable_init=0,nodiscard"
    if programs.keeps_xattrs_out:
        extended += ",no_copy_xattrs"
    return (
        *(programs.mke2fs, "-q", "-F", "-t", "ext4", "-O", _FEATURES, "-b", str(BLOCK_SIZE), "-I", str(_INODE_SIZE)),
        *("-N", str(inodes), "-m", "0", "-U", _UUID, "-L", "squib", "-M", "/", "-o", "Linux", "-E", extended),
        *("-d", source, path, str(block_count(tree, inodes))),
    )


def block_count(tree: RootfsTree, inodes: int) -> int:
    """The least number of blocks that surely hold `tree`."""
    names: dict[str, int] = {}
    content = _LOST_AND_FOUND_BLOCKS
    for entry in tree.entries:
        parent, _, name = entry.path.rpartition("/")
        # A directory entry is 8 bytes and the name, padded to 4, and does not cross a block (ext4_dir_entry_2).
        names[parent] = names.get(parent, 0) + 8 + -(-len(os.fsencode(name)) // 4) * 4
        match entry:
            case File(data=data):
                blocks = -(-len(data) // BLOCK_SIZE)
                content += blocks + (1 if blocks > (_EXTENTS_IN_INODE - 1) * _BLOCKS_IN_GROUP // 2 else 0)
            case Symlink(target=target):
                content += 1 if len(os.fsencode(target)) >= _INLINE_SYMLINK else 0
            case Directory(path=path):
                names.setdefault(path, 0)
    names.setdefault("", 0)
    # 24 bytes for "." and ".."; the last entry that does not fit wastes less than 264 bytes of a block.
    content += sum(-(-(size + 24) // (BLOCK_SIZE - 264)) for size in names.values())
    content += -(-inodes * _INODE_SIZE // BLOCK_SIZE)
    # Superblock and descriptors (in each group at most), two bitmaps, the rounding of the inode table.
    groups = 1
    while content + groups * 5 > groups * _BLOCKS_IN_GROUP:
        groups += 1
    total = content + groups * 5 + 1
    # libext2fs drops a last group with less than 50 blocks beside its own tables (lib/ext2fs/initialize.c).
    least = _LEAST_IN_GROUP + 5 + -(-inodes * _INODE_SIZE // BLOCK_SIZE)
    return total + max(0, least - total % _BLOCKS_IN_GROUP)


def _refuse_what_it_cannot_hold(tree: RootfsTree) -> None:
    for entry in tree.entries:
        if has_control_character(entry.path):  # a line feed ends a command of debugfs, and so does a carriage return
            raise ApplianceError(f"{entry.path!a}: no name with a control character can go in", hint="rename that file")
        if isinstance(entry, Device):
            raise HostError(f"{entry.path}: a root file-system holds no device nodes; PID 1 mounts devtmpfs")


def _stage(tree: RootfsTree, folder: Path) -> None:
    # Readable and writable for this user whatever the umask; debugfs sets the modes of the image.
    folder.mkdir(mode=0o700)
    for entry in tree.entries:
        path = folder / entry.path[1:]
        match entry:
            case Directory():
                path.mkdir(mode=0o700)
            case File(data=data):
                path.write_bytes(data)
            case Symlink(target=target):
                path.symlink_to(target)


def debugfs_script(tree: RootfsTree) -> bytes:
    """Commands that set owner, mode and times of every inode of the tree, of the root, and of lost+found."""
    lines: list[str] = []
    for entry in (Directory("/"), Directory("/lost+found", 0o700), *tree.entries):
        path = _quote(entry.path)
        lines.append(f"sif {path} mode 0{_mode(entry):o}")
        lines += [f"sif {path} {owner} 0" for owner in ("uid", "gid")]
        for field in _TIME_FIELDS:
            # @0 is the epoch in seconds; the extra half holds nanoseconds.
            lines += [f"sif {path} {field} @0", f"sif {path} {field}_extra 0"]
    return os.fsencode("\n".join(lines) + "\n")


def _mode(entry: Entry) -> int:
    match entry:
        case Directory(mode=mode):
            return stat.S_IFDIR | mode
        case File(mode=mode):
            return stat.S_IFREG | mode
        case _:
            return stat.S_IFLNK | 0o777


def _quote(path: str) -> str:
    """As an argument of a command: within quotes only a quote means anything, and is doubled (lib/ss/parse.c)."""
    doubled = path.replace('"', '""')
    return f'"{doubled}"'


def _is_complaint(line: str) -> bool:
    return bool(line) and not line.startswith("debugfs 1.")  # its name and version come first
