"""A guest whose init writes 4 MiB to its second disk, sees to it that they arrive, and says what went wrong."""

from __future__ import annotations

from squib.formats.syscall_program import KEPT, Call, assemble
from squib.model.tree import Directory, File, RootfsTree
from tiny_guest import BOOT

_WRITE, _OPEN, _FSYNC = 1, 2, 74  # arch/x86/entry/syscalls/syscall_64.tbl
_O_RDWR = 2
_MIB = 1 << 20


def tree() -> RootfsTree:
    """Its root file-system, for a kernel that needs no initrd and mounts /dev itself."""
    calls = (
        Call(_WRITE, (1, BOOT, len(BOOT))),
        Call(_OPEN, (b"/dev/vdb", _O_RDWR), "cannot open the disk", retries=1000, keep=True),
        *(Call(_WRITE, (KEPT, b"x" * _MIB, _MIB), "cannot write to the disk") for _ in range(4)),
        Call(_FSYNC, (KEPT,), "what was written did not arrive"),
    )
    return RootfsTree.of((Directory("/dev"), File("/sbin/init", assemble(calls), 0o755)))
