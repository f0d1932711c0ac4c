"""The folder of a jail: filled before the jailer is started, sealed before the guest runs.

Until the seal nothing of the guest's has run, so until then the folder holds what squib and the jailer put there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from squib.errors import HostError, TakenError, UsageError
from squib.host.files import storage_errors
from squib.host.held import is_at, link_held
from squib.model.jail import Jail
from squib.vmm.firecracker.jail_plan import Carried

__all__ = ["fill", "make", "seal", "staged_for"]

_FOLDER_MODE = 0o711
_COPY_CHUNK = 1 << 20
_FOLDERS = (".", "dev", "dev/net", "run")
"""What the jailer gives to the jail's user (its docs/jailer.md)."""


def make(root: Path, mark: str) -> None:
    """The folder of a jail, which is root's alone, and in it `root` and the empty file `mark`: all at once, or nothing.

    Firecracker needs no way to its root but that it is there; so files that are linked into it are no nearer to others. Raises
    TakenError where there is one, StorageError and its like.
    """
    staged = staged_for(root, mark)
    with storage_errors(root):
        staged.mkdir(parents=True, mode=0o700)
        try:
            (staged / root.name).mkdir(mode=0o700)
            (staged / mark).touch(mode=0o600)
            staged.rename(root.parent)
        except OSError as error:
            shutil.rmtree(staged, ignore_errors=True)
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
                raise
            raise TakenError(
                f"there is a jail {root.parent} already", hint="choose another --id; or remove it, if nothing runs there"
            ) from error


def staged_for(root: Path, mark: str) -> Path:
    """Where the folder of a jail is before it has its name."""
    return root.parent.with_name(f".{mark}")


def fill(root: Path, files: Iterable[Carried], jail: Jail, *, folder: Path, program: Path, made: Mapping[str, int]) -> None:
    """Puts `files` into `root`; a relative source is in `folder`. The jailer will copy `program` into it.

    A file that is only read is linked where that can be and the jail's user may read it, else copied. One that is written is
    linked; those sources that squib has `made`, and holds by these descriptors, are given to the jail's user, the user's own
    stay whose they are. Raises UsageError, TakenError (another file is where squib made one), HostError, StorageError and its
    like.
    """
    with storage_errors(root):
        _check_file_system(root)
    for file in files:
        source, target = folder / file.source, root / file.name
        with storage_errors(source):
            if file.source in made:
                _give(source, target, jail, made[file.source])
                continue
            if file.written:
                _link_written(source.resolve(strict=True), target)  # a link to a link is none to the file
            else:
                _link_or_copy(source, target, jail)
    with storage_errors(root / program.name):
        _check_room(root, program)


def _check_file_system(root: Path) -> None:
    """On one without devices or programs the jailer fails only later, in words that do not say why."""
    flags = os.statvfs(root).f_flag
    if flags & (os.ST_NODEV | os.ST_NOEXEC):
        raise HostError(
            f"{root} is on a file system mounted with nodev or noexec, where no jail can be",
            hint="have them on another one: squib run's are in XDG_STATE_HOME, squib vm's below --chroot-base-dir",
        )


def _check_room(root: Path, program: Path) -> None:
    """The jailer says little of a full disk, and where its words go is full as well."""
    there = os.statvfs(root)
    if there.f_bavail * there.f_frsize < program.stat().st_size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _give(source: Path, target: Path, jail: Jail, held: int) -> None:
    """Links it, and gives it to the jail's user, if it is still the one that is `held`: the folder may be somebody else's."""
    _link_written(source, target)
    if not is_at(held, target):
        target.unlink()
        raise TakenError(
            f"{source} is no longer the file that squib made: another one was put in its place",
            hint="choose a folder in which nobody else may write",
        )
    os.chown(target, jail.uid, jail.gid, follow_symlinks=False)


def _link_written(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        raise UsageError(
            f"{source} cannot be written from a jail in {target.parent}: {error.strerror}",
            hint="it must be on the file system of the jail: --chroot-base-dir, or XDG_STATE_HOME",
        ) from error


def _link_or_copy(source: Path, target: Path, jail: Jail) -> None:
    # Opened once, since its name may be another's a moment later; and without waiting for a FIFO's other end.
    descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
        mode = os.fstat(descriptor).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
            raise UsageError(f"{source} cannot be given to a machine: it is no file", hint="name a regular file")
        if stat.S_ISREG(mode) and mode & stat.S_IROTH:
            with contextlib.suppress(OSError):  # another file system
                link_held(descriptor, target)
                return
        with target.open("xb") as copy:
            os.fchmod(copy.fileno(), 0o400)
            os.fchown(copy.fileno(), jail.uid, jail.gid)
            shutil.copyfileobj(file, copy, _COPY_CHUNK)


def seal(root: Path) -> None:
    """From here on Firecracker can make, rename or remove no file in its jail. To be called when it has made all its own."""
    with storage_errors(root):
        for name in _FOLDERS:
            with contextlib.suppress(FileNotFoundError):  # a jailer of another version
                os.chown(root / name, 0, 0)
                (root / name).chmod(_FOLDER_MODE)
