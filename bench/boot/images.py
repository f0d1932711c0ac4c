"""What is booted: squib's appliance and the floor, each as an initramfs and as an ext4 disk. Pure but for reading busybox.

The floor is the least that serves HTTP on the same kernel: busybox (static, one file) as shell, as the tools that set up
the same mounts and the same network, and as httpd. In an initramfs both are started by the same /init: a table of system calls
that loads the same modules and runs /sbin/init.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from bench.problem import Problem
from squib.build.kernels import Kernel
from squib.formats.cpio import pack
from squib.formats.syscall_program import KEPT, Call, assemble
from squib.model.tree import Device, Directory, File, RootfsTree, Symlink

BODY = b"0123456789abcdef0123456789abcdef01234567"
"""40 bytes, as the clock's answer has."""

# As PID 1 of an appliance does it: squib/guest/mounts.py, links.py. What the kernel has mounted already fails, and may.
_SCRIPT = """#!/bin/busybox sh
PATH=/bin
mount -t proc proc /proc
mount -t sysfs -o ro sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs -o size=25% tmpfs /tmp
mount -t tmpfs -o size=10% tmpfs /run
{begin}
hostname floor
ifconfig lo 127.0.0.1 up
ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
route add default gw 10.0.2.2
httpd -p 80 -h /www
{ready}
exec sleep 100000
"""
_MOUNT_POINTS = ("/dev", "/proc", "/run", "/sys", "/tmp")  # noqa: S108 - in the image
_APPLETS = ("mount", "hostname", "ifconfig", "route", "httpd", "sleep", "dmesg")

# arch/x86/entry/syscalls/syscall_64.tbl
_OPEN, _CLOSE, _EXECVE, _MOUNT, _FINIT_MODULE = 2, 3, 59, 165, 313
_O_CLOEXEC = 0o2000000


def floor(begin: str, ready: str) -> RootfsTree:
    """The floor's files; `begin` and `ready` are commands: behind the mounts, and once it listens."""
    # By their names: applets that are no shell built-ins are found through PATH, and run in a process of their own.
    links = [Symlink(f"/bin/{name}", "busybox") for name in _APPLETS]
    return RootfsTree.of(
        [
            File("/bin/busybox", _busybox(), 0o755),
            *links,
            File("/sbin/init", _SCRIPT.format(begin=begin, ready=ready).encode(), 0o755),
            File("/www/index.html", BODY),
            *(Directory(path) for path in _MOUNT_POINTS),
        ]
    )


def initramfs(tree: RootfsTree, kernel: Kernel) -> bytes:
    """`tree` as a whole system in memory, with what `kernel` needs to see its network."""
    console = Device("/dev/console", 5, 1)
    modules = [File(_path(name), data) for name, data in kernel.modules]
    init = File("/init", assemble(tuple(_calls([name for name, _ in kernel.modules]))), 0o755)
    return pack(RootfsTree.of([*tree.entries, console, init, *modules]))


def _calls(names: list[str]) -> Iterator[Call]:
    devtmpfs = (b"devtmpfs", b"/dev", b"devtmpfs", 0, b"mode=0755")
    yield Call(_MOUNT, devtmpfs, "cannot mount /dev", ignore=(errno.EBUSY,))
    for name in names:
        yield Call(_OPEN, (_path(name).encode(), _O_CLOEXEC), f"cannot open {name}", keep=True)
        yield Call(_FINIT_MODULE, (KEPT, b"", 0), f"cannot load {name}", ignore=(errno.EEXIST,))
        yield Call(_CLOSE, (KEPT,), f"cannot close {name}")
    environment = (b"HOME=/", b"PATH=/bin:/usr/bin:/sbin", b"TERM=linux")
    yield Call(_EXECVE, (b"/sbin/init", (b"/sbin/init",), environment), "cannot start /sbin/init")


def _path(name: str) -> str:
    return f"/modules/{name}.ko"


def _busybox() -> bytes:
    path = shutil.which("busybox")
    if path is None:
        raise Problem("busybox is not installed; tools/setup bench installs it (busybox-static)")
    data = Path(path).read_bytes()
    if b"/ld-linux" in data[:4096]:
        raise Problem(f"{path} is not static; apt-get install busybox-static")
    return data
