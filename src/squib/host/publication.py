"""Several files that change together: a process that is killed at any moment leaves all the old ones or all the new.

rename(2) swaps one name at a time, so the new files first lie side by side in the folder READY in theirs; one rename puts it
there, and from then on the new files count. Each is then moved to its own name, the one that speaks of the others last. Until
that is done, whoever reads looks into READY first (`find`), and the next who may write goes on with the moving (`finish`).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from shlex import quote

from squib.errors import StorageError
from squib.host.files import storage_errors

__all__ = ["READY", "find", "finish", "publish_together"]

READY = ".squib-ready"
_COPY = ".staging-copy-"
"""As host.files names what is being made, so that it is swept where this process is killed."""
_FOLDER_MODE = 0o755
_CHUNK = 1 << 20
_TRIES = 10
"""So often another process may have put its own files there just before."""
_NOT_EMPTY = (errno.ENOTEMPTY, errno.EEXIST)


def publish_together(staged: Path, folder: Path, *, last: str) -> None:
    """Puts the files of the folder `staged` into `folder`, in place of those that are there.

    `last` is the name of the one by which the others are known. What else is in `folder` stays. Raises StorageError and its
    like, and then `folder` is as it was.
    """
    with storage_errors(folder), _opened(folder) as there:
        for file in staged.iterdir():
            if _is_there(there, file.name, stat.S_ISDIR):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(folder / file.name))
        staged.chmod(_FOLDER_MODE)
        with _beside(staged, there) as (name, where):
            for _ in range(_TRIES):
                _finish(there, last)
                with _unless(*_NOT_EMPTY):
                    os.rename(name, READY, src_dir_fd=where, dst_dir_fd=there)
                    _finish(there, last)
                    return
            look = f"look at it: ls -la {quote(str(folder))}"
            raise StorageError(f"{folder / READY} holds files that are not squib's", hint=look)


@contextlib.contextmanager
def _beside(staged: Path, there: int) -> Iterator[tuple[str, int | None]]:
    """The name of `staged`, or of a copy of it, on the file system of the folder `there`; and the folder that it is in."""
    if staged.stat().st_dev == os.fstat(there).st_dev:
        yield str(staged), None
        return
    name = f"{_COPY}{secrets.token_hex(8)}"
    os.mkdir(name, 0o700, dir_fd=there)
    copy = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=there)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(copy, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.fchmod(copy, _FOLDER_MODE)
        for file in staged.iterdir():
            _copy(file, copy)
        yield name, there
    except BaseException:
        with contextlib.suppress(OSError):
            for file in staged.iterdir():
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(file.name, dir_fd=copy)
            os.rmdir(name, dir_fd=there)
        raise
    finally:
        os.close(copy)


def _copy(file: Path, folder: int) -> None:
    mode = stat.S_IMODE(file.stat().st_mode)
    descriptor = os.open(file.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
    with open(descriptor, "wb") as copy, file.open("rb") as source:  # noqa: PTH123 - a descriptor
        shutil.copyfileobj(source, copy, _CHUNK)
        os.fchmod(descriptor, mode)


def finish(folder: int, *, last: str) -> None:
    """Goes on with what a killed process left in the folder that `folder` holds, if it did and this one may.

    Else nothing happens, and `find` finds it.
    """
    with contextlib.suppress(OSError):
        _finish(folder, last)


def find(folder: int, name: str, *, last: str) -> str:
    """Where in the folder that `folder` holds the file called `name` is now: in READY, as long as that holds `last`, or not."""
    ready = f"{READY}/{name}"
    return ready if _is_there(folder, f"{READY}/{last}") and _is_there(folder, ready) else name


def _is_there(folder: int, name: str, kind: Callable[[int], bool] = lambda _: True) -> bool:
    try:
        return kind(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _finish(folder: int, last: str) -> None:
    """Several may do it at once: a file that is not in READY any more was moved, and a READY that went leads to no other."""
    try:
        ready = os.open(READY, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return
    try:
        names = os.listdir(ready)  # noqa: PTH208 - a descriptor
        if last in names:
            for name in sorted(names, key=lambda name: name == last):
                with contextlib.suppress(FileNotFoundError):
                    # By descriptors: READY may be another's by now, and the folder somewhere else.
                    os.replace(name, name, src_dir_fd=ready, dst_dir_fd=folder)
    finally:
        os.close(ready)
    with contextlib.suppress(FileNotFoundError), _unless(*_NOT_EMPTY):
        os.rmdir(READY, dir_fd=folder)


@contextlib.contextmanager
def _unless(*numbers: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in numbers:
            raise


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
