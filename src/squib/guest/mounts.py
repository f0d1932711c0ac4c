"""The file-systems that PID 1 mounts, one table, applied in order; and the names that programs expect in /dev.

What is there already (the initrd or the kernel mounted it) is left as it is, so mounting twice changes nothing.
"""

from __future__ import annotations

import errno
import os

from squib.guest import libc
from squib.guest.libc import MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY


class Mount:
    """One row: mount(2)'s arguments."""

    __slots__ = ("data", "flags", "fstype", "target")

    def __init__(self, fstype: str, target: str, flags: int, data: str = "") -> None:
        self.fstype = fstype
        self.target = target
        self.flags = flags
        self.data = data


# Sizes are of the guest's memory, so that a full /tmp leaves enough to serve with, whatever the machine has.
MOUNTS = (
    Mount("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC),
    Mount("sysfs", "/sys", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC),
    Mount("devtmpfs", "/dev", MS_NOSUID | MS_NOEXEC, "mode=755"),
    Mount("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "mode=620,ptmxmode=666"),
    Mount("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=25%,mode=1777"),  # noqa: S108 - as below
    Mount("tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "size=25%,mode=1777"),  # noqa: S108 - it makes /tmp, it does not use it
    Mount("tmpfs", "/run", MS_NOSUID | MS_NODEV, "size=10%,mode=755"),
)


_OPTIONAL = "devpts"
"""A kernel may be built without it (CONFIG_UNIX98_PTYS); then there are no pseudo-terminals."""

# Documentation/admin-guide/devices.rst, "Compulsory links". The last two are of a standard of long ago, and point nowhere.
LINKS = (
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "fd/0"),
    ("/dev/stdout", "fd/1"),
    ("/dev/stderr", "fd/2"),
    ("/dev/nfsd", "socksys"),
    ("/dev/X0R", "null"),
)


def mount_all(table: tuple[Mount, ...] = MOUNTS) -> None:
    """Mounts `table` in order. Raises OSError that names the target."""
    for row in table:
        if row.target.startswith("/dev/"):
            _make_folder(row.target)
        try:
            libc.mount(row.fstype, row.target, row.fstype, row.flags, row.data)
        except OSError as error:
            # do_add_mount(): the same file-system on the same point is refused with EBUSY.
            if error.errno != errno.EBUSY and not (error.errno == errno.ENODEV and row.fstype == _OPTIONAL):
                raise


def link_all(table: tuple[tuple[str, str], ...] = LINKS) -> None:
    """Makes the links of `table` where nothing of that name is there."""
    for path, target in table:
        try:
            os.symlink(target, path)
        except FileExistsError:
            continue


def _make_folder(path: str) -> None:
    try:
        os.mkdir(path, 0o755)
    except FileExistsError:
        return
