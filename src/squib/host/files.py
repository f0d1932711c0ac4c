"""Files that are whole or not there: written beside their place, flushed, and renamed in."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from squib.errors import HostError, MissingError, PermissionDeniedError, SquibError, StorageError, TakenError
from squib.host.homes import cache_home, is_private, state_home

__all__ = [
    "abandoned",
    "alone_in",
    "await_lock",
    "cache_home",
    "made_for",
    "make_folder",
    "making",
    "publish",
    "staging",
    "state_home",
    "storage_errors",
    "working_folder",
    "write_atomic",
]

_STAGING = ".staging-"
_YOUNG_S = 60
_ALONE_S = 60.0
_LOOK_S = 0.02


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turns an OSError about `path` into an error that says what to do."""
    try:
        yield
    except OSError as error:
        raise _explain(path, error) from error


def _explain(path: Path, error: OSError) -> SquibError:
    named = error.filename if error.filename2 is None else error.filename2  # of a renaming, the name that was wanted
    where = Path(os.fsdecode(named)) if isinstance(named, str | bytes) else path
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return StorageError(
                f"no space left to write {where}", hint=f"free some space: df -h {shlex.quote(str(existing_parent(where)))}"
            )
        case errno.EACCES | errno.EPERM:
            return PermissionDeniedError(
                f"this user may not use {where}", hint=f"see who may: ls -ld {shlex.quote(str(existing_parent(where)))}"
            )
        case errno.EROFS:
            return StorageError(f"{where} is on a read-only file-system", hint="choose a folder that can be written")
        case errno.ENOENT:
            return MissingError(f"{where} is not there")
        case errno.EEXIST if where.exists() and not where.is_dir():
            return StorageError(f"{where} is there, and is not a folder", hint="choose another path")
        case errno.EISDIR:
            return StorageError(f"{where} is a folder, not a file", hint="choose another path")
        case errno.ENOTDIR | errno.EEXIST:
            return StorageError(f"{where}: {os.strerror(error.errno)}", hint="choose another path")
        case errno.EIO:
            return StorageError(f"{where}: the device reports an i/o error")
        case _:
            return HostError(f"{where}: {error.strerror or error}")


def existing_parent(path: Path) -> Path:
    """The nearest folder at or above `path` that exists, and will still exist when a person looks for it."""
    for folder in (path, *path.parents):
        if _STAGING in str(folder):
            continue
        # Path.is_dir raises where a folder above may not be searched; that is no answer here.
        if os.path.isdir(folder):  # noqa: PTH112 - see above
            return folder
    return Path("/")


def working_folder() -> Path:
    """The working folder. Raises MissingError where it was deleted."""
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise MissingError("the working folder was deleted", hint="go to another one: cd") from error


def write_atomic(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Writes `path` whole or not at all, with exactly `mode` whatever the umask; makes the folders above."""
    with storage_errors(path):
        make_folder(path.parent)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                os.fchmod(descriptor, mode)
            Path(name).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise


def make_folder(folder: Path) -> None:
    """Makes `folder`, and those above it that are missing: this user's alone in squib's own homes, and nobody else's to write.

    Whatever the umask: what others may write squib would not believe. Raises OSError, StorageError.
    """
    with making(folder):
        for missing in reversed([path for path in (folder, *folder.parents) if not path.is_dir()]):
            missing.mkdir(0o700 if is_private(missing) else 0o755, exist_ok=True)


@contextlib.contextmanager
def making(folder: Path) -> Iterator[None]:
    """Within `storage_errors`, for the making of `folder`: file-systems like /proc say of a new name that it is not there."""
    try:
        yield
    except FileNotFoundError as error:
        where = existing_parent(folder)
        raise StorageError(f"no folder can be made in {where}, for {folder}", hint="choose another path") from error


@contextlib.contextmanager
def staging(parent: Path) -> Iterator[Path]:
    """A new folder (0700) below `parent`, which is made; gone on every exit, unless `publish` took it.

    It is locked (flock(2)) while it is used. A killed process leaves its folder without the lock; the next one here removes it.
    """
    with storage_errors(parent):
        make_folder(parent)
        _sweep(parent)
        folder = Path(tempfile.mkdtemp(dir=parent, prefix=_STAGING))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        with storage_errors(folder):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, lock)
        _lock(lock)
        yield folder


@contextlib.contextmanager
def made_for(folder: Path) -> Iterator[None]:
    """Where the body fails, `folder` and those above it that are new are removed again, as far as they are empty."""
    with storage_errors(folder):
        missing = tuple(path for path in (folder, *folder.parents) if not path.exists())
    try:
        yield
    except BaseException:
        for path in missing:
            with contextlib.suppress(OSError):
                path.rmdir()
        raise


def _sweep(parent: Path) -> None:
    for left in abandoned(parent):
        shutil.rmtree(left, ignore_errors=True)


def abandoned(parent: Path) -> Iterator[Path]:
    """What killed processes left of `staging`: nobody has a lock on it, and nobody will."""
    for left in parent.glob(f"{_STAGING}*"):
        with contextlib.suppress(OSError):
            # Between a folder's making and its lock there is a moment: young ones are left alone.
            if time.time() - left.stat().st_mtime < _YOUNG_S:
                continue
            descriptor = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                free = _lock(descriptor)
            finally:
                os.close(descriptor)
            if free:
                yield left


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Waits until no other process is in here for the same `folder` (flock(2)); one without locks is entered all the same.

    Whoever may open a folder may lock it, so it is to be one that is this user's alone. Raises TakenError after a minute.
    """
    with storage_errors(folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        await_lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def await_lock(descriptor: int, path: Path) -> None:
    """Locks the file at `path`, which `descriptor` holds, until that is closed.

    Raises TakenError where one other process keeps it for a minute; however many come first, they are waited for.
    """
    holder, since = None, time.monotonic()
    while _is_locked(descriptor):
        if (now_held_by := _lock_holder(descriptor)) != holder:
            holder, since = now_held_by, time.monotonic()
        if time.monotonic() - since >= _ALONE_S:
            raise TakenError(
                f"{f'process {holder}' if holder else 'another process'} has kept {path} locked for over {_ALONE_S:g} s",
                hint=f"see which: fuser -v {shlex.quote(str(path))}",
            )
        time.sleep(_LOOK_S)


def _lock_holder(descriptor: int) -> int | None:
    """The process with the lock, by proc_locks(5); None where that does not tell, as for one in another namespace.

    The file is known by its inode: the device that stands there is not always the one that stat(2) gives.
    """
    inode = str(os.fstat(descriptor).st_ino)
    with contextlib.suppress(OSError):
        for line in Path("/proc/locks").read_text(encoding="ascii", errors="replace").splitlines():
            fields = line.split()
            if len(fields) > 5 and fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == inode and fields[4].isdecimal():
                return int(fields[4]) or None
    return None


def _is_locked(descriptor: int) -> bool:
    """Whether another process has the lock; else this one has it, or the file-system knows none."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _lock(descriptor: int) -> bool:
    """Whether the lock was free; a file-system without locks counts as somebody else's."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def publish(staged: Path, final: Path) -> None:
    """Renames a staged file or folder to its final name; a folder is this user's alone. One that is there already stays."""
    with storage_errors(final):
        if staged.is_dir():
            staged.chmod(0o700)
        try:
            staged.replace(final)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST} or not final.is_dir():
                raise
