"""The initial RAM file-system: it loads the modules that the disk and the network need, mounts the disk and hands over to it.

Its /init is a table of system calls (docs/decisions/0001), so it holds no shell, no C library and no second interpreter. Each
step says what failed, by name, on the console; init then ends, the kernel panics, and the VMM exits (panic=-1).
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence

from squib.formats.cpio import pack
from squib.formats.syscall_program import KEPT, Call, assemble
from squib.model.tree import Device, Directory, File, RootfsTree

__all__ = ["initrd", "plan"]

# arch/x86/entry/syscalls/syscall_64.tbl
_OPEN, _CLOSE, _ACCESS, _EXECVE, _CHDIR, _UNLINK, _CHROOT, _MOUNT, _FINIT_MODULE = 2, 3, 21, 59, 80, 87, 161, 165, 313

_O_CLOEXEC = 0o2000000
_MS_RDONLY, _MS_NOSUID, _MS_NOEXEC, _MS_MOVE = 1, 2, 8, 8192

_DISK = b"/dev/vda"
_DISK_RETRIES = 1000
"""10 s, in steps of 10 ms: a disk's driver finds it on its own time, and emulation in an emulation is slow."""

_MOUNT_RETRIES = 100
"""1 s: the node of a disk is there a moment before the disk can be opened (block/genhd.c, device_add_disk)."""

_ENVIRONMENT = (b"HOME=/", b"PATH=/usr/bin:/sbin", b"TERM=linux")


def plan(modules: Sequence[tuple[str, bytes]]) -> RootfsTree:
    """What is in it, and why. `modules` are names and unpacked .ko files, in the order to load them; there may be none."""
    return RootfsTree.of(
        [
            File(
                "/init",
                assemble(tuple(_calls([name for name, _ in modules]))),
                0o755,
                "loads modules, mounts the disk, hands over",
            ),
            Directory("/dev", why="where the kernel's device nodes are mounted"),
            Device("/dev/console", 5, 1, 0o600, "the kernel opens it for /init, before anything is mounted"),
            Directory("/root", why="where the disk is mounted, before it becomes /"),
            *(
                File(_path(name), data, 0o644, f"step {step} of what the disk and the network need")
                for step, (name, data) in enumerate(modules, 1)
            ),
        ]
    )


def initrd(modules: Sequence[tuple[str, bytes]]) -> bytes:
    """The bytes of initrd.img for these modules."""
    return pack(plan(modules))


def _path(name: str) -> str:
    return f"/modules/{name}.ko"


def _calls(names: Sequence[str]) -> Iterator[Call]:
    devtmpfs = (b"devtmpfs", b"/dev", b"devtmpfs", _MS_NOSUID | _MS_NOEXEC, b"mode=0755")
    yield Call(_MOUNT, devtmpfs, _says("cannot mount devtmpfs on /dev"), ignore=(errno.EBUSY,))
    for name in names:
        yield from _load(name)
    yield Call(_ACCESS, (_DISK, 0), _says("the machine has no disk /dev/vda that this kernel knows"), retries=_DISK_RETRIES)
    root = (_DISK, b"/root", b"ext4", _MS_RDONLY, 0)
    yield Call(_MOUNT, root, _says("cannot mount /dev/vda as ext4"), retries=_MOUNT_RETRIES)
    yield Call(_MOUNT, (b"/dev", b"/root/dev", 0, _MS_MOVE, 0), _says("cannot move /dev to the disk"))
    yield Call(_UNLINK, (b"/init",), _says("cannot remove /init"))  # its memory is given back when it has handed over
    # As switch_root(8) does it: the first mount cannot be pivoted away, so the disk is moved over it.
    yield Call(_CHDIR, (b"/root",), _says("cannot enter the disk"))
    yield Call(_MOUNT, (b".", b"/", 0, _MS_MOVE, 0), _says("cannot make the disk the root"))
    yield Call(_CHROOT, (b".",), _says("cannot make the disk the root"))
    yield Call(_CHDIR, (b"/",), _says("cannot enter the root"))
    yield Call(_EXECVE, (b"/sbin/init", (b"/sbin/init",), _ENVIRONMENT), _says("cannot start /sbin/init on the disk"))


def _load(name: str) -> Iterator[Call]:
    path = _path(name).encode()
    yield Call(_OPEN, (path, _O_CLOEXEC), _says(f"cannot open the kernel module {name}"), keep=True)
    yield Call(_FINIT_MODULE, (KEPT, b"", 0), _says(f"cannot load the kernel module {name}"), ignore=(errno.EEXIST,))
    yield Call(_CLOSE, (KEPT,), _says(f"cannot close the kernel module {name}"))
    yield Call(_UNLINK, (path,), _says(f"cannot remove the kernel module {name}"))  # its memory is the guest's


def _says(what: str) -> str:
    return f"squib: initrd: {what}"
