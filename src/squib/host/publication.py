"""Several files that change together: a process that is killed at any moment leaves all the old ones or all the new.

rename(2) swaps one name at a time, so the new files first lie side by side in the folder READY in theirs; one rename puts it
there, and from then on the new files count. Each is then moved to its own name, the one that speaks of the others last. Until
that is done, whoever reads looks into READY first (`find`), and the next who may write goes on with the moving (`finish`).
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from squib.errors import StorageError
from squib.host.files import storage_errors

__all__ = ["READY", "find", "finish", "publish_together"]

READY = ".squib-ready"
_FOLDER_MODE = 0o755
_TRIES = 10
"""So often another process may have put its own files there just before."""
_NOT_EMPTY = (errno.ENOTEMPTY, errno.EEXIST)


def publish_together(staged: Path, folder: Path, *, last: str) -> None:
    """Puts the files of the folder `staged`, which is on the same file system, into `folder`, in place of those that are there.

    `last` is the name of the one by which the others are known. What else is in `folder` stays. Raises StorageError and its
    like, and then `folder` is as it was.
    """
    with storage_errors(folder):
        for file in staged.iterdir():
            if (folder / file.name).is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(folder / file.name))
        staged.chmod(_FOLDER_MODE)
        for _ in range(_TRIES):
            _finish(folder, last)
            with _unless(*_NOT_EMPTY):
                staged.rename(folder / READY)
                _finish(folder, last)
                return
    raise StorageError(f"{folder / READY} holds files that are not squib's", hint=f"look at it: ls -la {quote(str(folder))}")


def finish(folder: Path, *, last: str) -> None:
    """Goes on with what a killed process left, if it did and this one may; else nothing happens, and `find` finds it."""
    with contextlib.suppress(OSError):
        _finish(folder, last)


def find(folder: int, name: str, *, last: str) -> str:
    """Where in the folder that `folder` holds the file called `name` is now: in READY, as long as that holds `last`, or not."""
    ready = f"{READY}/{name}"
    return ready if _is_there(folder, f"{READY}/{last}") and _is_there(folder, ready) else name


def _is_there(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return True


def _finish(folder: Path, last: str) -> None:
    """Several may do it at once: a file that is not in READY any more was moved, and a READY that went leads to no other."""
    with _opened(folder) as there, _opened(folder / READY, os.O_NOFOLLOW) as ready:
        if there is None or ready is None:
            return
        names = os.listdir(ready)  # noqa: PTH208 - a descriptor
        if last in names:
            for name in sorted(names, key=lambda name: name == last):
                with contextlib.suppress(FileNotFoundError):
                    # By descriptors: READY may be another's by now.
                    os.replace(name, name, src_dir_fd=ready, dst_dir_fd=there)
        with contextlib.suppress(FileNotFoundError), _unless(*_NOT_EMPTY):
            os.rmdir(READY, dir_fd=there)


@contextlib.contextmanager
def _unless(*numbers: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in numbers:
            raise


@contextlib.contextmanager
def _opened(folder: Path, flags: int = 0) -> Iterator[int | None]:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | flags)
    except FileNotFoundError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)
