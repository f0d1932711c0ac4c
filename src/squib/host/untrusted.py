"""Files from outside: an appliance's folder, an artifact, a cache or a state that another user may have touched.

The rule: what was checked is what is read. A folder is held by its descriptor, names are resolved beneath it (`host.beneath`),
and a file is opened once: it is regular and within its bound as that descriptor says, and is read from that descriptor.
Nothing here waits for a FIFO, wakes a device, or reads without an end.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import NoReturn, Self

from squib.errors import ApplianceError, HostError, MissingError
from squib.host.beneath import Place, Resolution, refuse_changed
from squib.host.files import storage_errors
from squib.host.ownership import check_owned

__all__ = ["Bounds", "Folder", "Found", "kind_of", "open_file", "read_file", "read_open"]

_CHUNK = 1 << 20
_DEADLINE_S = 30.0
"""For one file: a file-system that gives a few bytes now and then ends no later than this."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_TAKEN = frozenset({stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK})
_LIMITS = "the limits: docs/limits.md"


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that a walk takes: entries of all kinds, bytes of all files together, and folders within folders."""

    entries: int
    total_bytes: int
    depth: int


@dataclass(frozen=True, slots=True)
class Found:
    """What a walk came by: `path` below the folder, `status` of the thing itself; it is a file, a folder or a link."""

    path: PurePosixPath
    status: os.stat_result


class Folder:
    """A folder from outside, held open; a context manager. Names given to its methods are below it, without `..`.

    `follow`: symbolic links are followed as long as they stay inside; without it, one on the way is an error. A link stays
    inside also where it leads out and in again, or from the root, by the names of the folder's own path.
    """

    __slots__ = ("_descriptor", "_own_names", "path")

    def __init__(self, path: Path) -> None:
        """Opens `path`, whose own links are followed. Raises MissingError, StorageError, PermissionDeniedError, HostError."""
        self.path = path
        with storage_errors(path):
            self._descriptor = os.open(path, _FOLDER)
        self._own_names = Path(os.path.realpath(path)).parts[1:]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the folder; files that were opened in it stay open."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def fileno(self) -> int:
        """The folder's descriptor."""
        return self._descriptor

    def check_owned(self) -> None:
        """Raises PermissionDeniedError unless the folder is this user's or root's, and no other user may write it."""
        check_owned(self._descriptor, self.path)

    def status(self, name: str | PurePosixPath, *, follow: bool = False) -> os.stat_result:
        """What `name` is: never a link where links are followed. Raises MissingError, ApplianceError and their like."""
        with self._place(name, follow=follow) as place:
            return place.status

    def holds(self, name: str | PurePosixPath) -> bool:
        """Whether `name` is there, be it a link that leads nowhere. Raises PermissionDeniedError and its like."""
        try:
            self.status(name)
        except MissingError:
            return False
        return True

    def resolve(self, name: str | PurePosixPath) -> PurePosixPath:
        """Where `name` truly lies below the folder, all links followed. Raises as `status` does."""
        with self._place(name, follow=True) as place:
            return place.path

    def link_target(self, name: str | PurePosixPath) -> str:
        """What is written in the link `name`. Raises as `status` does."""
        with self._place(name, follow=False) as place, _about(self.path / name):
            return os.readlink(place.name, dir_fd=place.folder)

    def open(self, name: str | PurePosixPath, *, max_bytes: int, follow: bool = False) -> io.FileIO:
        """The regular file `name`, of at most `max_bytes`, to be read. Raises MissingError, ApplianceError and their like."""
        with self._place(name, follow=follow) as place:
            return _opened(place.name, place.folder, place.status, self.path / name, max_bytes)

    def read(self, name: str | PurePosixPath, *, max_bytes: int, follow: bool = False) -> bytes:
        """The content of the regular file `name`. Raises as `open` does, and HostError where it takes too long."""
        with self.open(name, max_bytes=max_bytes, follow=follow) as file:
            return read_open(file, self.path / name, max_bytes)

    def names(self, name: str | PurePosixPath = "", *, max_entries: int, follow: bool = False) -> tuple[str, ...]:
        """What is in the folder `name`, sorted. Raises as `status` does, and ApplianceError where there is more."""
        with self._place(name, follow=follow) as place, _entered(place, self.path / name) as descriptor:
            return _names(descriptor, self.path / name, max_entries)

    def walk(
        self, name: str | PurePosixPath, bounds: Bounds, leave_out: Callable[[PurePosixPath], bool] = lambda _: False
    ) -> Iterator[Found]:
        """All that is below the folder `name`, each folder before what is in it, in the order of names; links are not entered.

        What `leave_out` names (by its path below the folder) is not looked at. A FIFO, a socket, a device, and more than
        `bounds` allow raise ApplianceError. Links are given as they are: `resolve` and `status` tell where they lead.
        """
        with self._place(name, follow=True) as place, _entered(place, self.path / name) as descriptor:
            yield from _Walk(self.path, bounds, leave_out).below(descriptor, PurePosixPath(name), 1)

    @contextlib.contextmanager
    def _place(self, name: str | PurePosixPath, *, follow: bool) -> Iterator[Place]:
        shown = self.path / name
        resolution = Resolution(self._descriptor, self._own_names, PurePosixPath(name), shown, follow=follow)
        with contextlib.closing(resolution):
            with _about(shown):
                place = resolution.run()
            yield place


class _Walk:
    """Counts what a walk came by, over all its folders."""

    def __init__(self, top: Path, bounds: Bounds, leave_out: Callable[[PurePosixPath], bool]) -> None:
        self._top, self._bounds, self._leave_out = top, bounds, leave_out
        self._entries = self._bytes = 0

    def below(self, descriptor: int, where: PurePosixPath, depth: int) -> Iterator[Found]:
        if depth > self._bounds.depth:
            self._too_much(where, f"more than {self._bounds.depth} folders within each other")
        for name in _names(descriptor, self._top / where, self._bounds.entries):
            path = where / name
            if self._leave_out(path):
                continue
            with _about(self._top / path):
                status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            self._count(path, status)
            yield Found(path, status)
            if stat.S_ISDIR(status.st_mode):
                with _entered(Place(descriptor, name, path, status), self._top / path) as inner:
                    yield from self.below(inner, path, depth + 1)

    def _count(self, path: PurePosixPath, status: os.stat_result) -> None:
        kind = stat.S_IFMT(status.st_mode)
        if kind not in _TAKEN:
            raise ApplianceError(
                f"{self._top / path} is {kind_of(kind)}: only files, folders and links are taken", hint="remove it"
            )
        self._entries += 1
        self._bytes += status.st_size if kind == stat.S_IFREG else 0
        if self._entries > self._bounds.entries:
            self._too_much(path, f"more than {self._bounds.entries:,} files and folders")
        if self._bytes > self._bounds.total_bytes:
            self._too_much(path, f"more than {self._bounds.total_bytes:,} bytes")

    def _too_much(self, path: PurePosixPath, what: str) -> NoReturn:
        raise ApplianceError(f"{self._top} is too large: {what}, at {path}", hint=_LIMITS)


def kind_of(mode: int) -> str:
    """What a file of `mode` is, in words: "a FIFO"."""
    return _KINDS.get(stat.S_IFMT(mode), "of a kind that squib does not know")


def open_file(path: Path, *, max_bytes: int, follow: bool = False) -> io.FileIO:
    """The regular file at `path`, of at most `max_bytes`; `follow`: it may be a link, to wherever. Raises as `Folder.open`.

    The folders above are followed wherever they lead: for a path that the user named. What is in a folder from outside is
    opened by `Folder`.
    """
    with storage_errors(path):
        status = path.stat(follow_symlinks=follow)
    return _opened(str(path), None, status, path, max_bytes, follow=follow)


def read_file(path: Path, *, max_bytes: int, follow: bool = False) -> bytes:
    """The content of the regular file at `path`. Raises as `open_file` and `read_open`."""
    with open_file(path, max_bytes=max_bytes, follow=follow) as file:
        return read_open(file, path, max_bytes)


def read_open(file: io.FileIO, path: Path, max_bytes: int) -> bytes:
    """All that is left in `file`, shown as `path`. Raises ApplianceError where that is more, HostError where it takes long.

    The size was checked when it was opened; but a file may grow, and some file-systems tell no size.
    """
    end = time.monotonic() + _DEADLINE_S
    data = bytearray()
    with storage_errors(path):
        while chunk := file.read(min(_CHUNK, max_bytes + 1 - len(data))):
            data += chunk
            if len(data) > max_bytes:
                _refuse_size(path, max_bytes)
            if time.monotonic() > end:
                raise HostError(f"{path} could not be read within {_DEADLINE_S:g} s", hint="is its file-system slow?")
    return bytes(data)


def _opened(
    name: str, folder: int | None, status: os.stat_result, path: Path, max_bytes: int, *, follow: bool = False
) -> io.FileIO:
    """`status` was asked for first, so that no device is opened only to be refused; what counts is the descriptor's own."""
    _check_file(status, path, max_bytes)
    with _about(path):
        try:
            descriptor = os.open(name, _READ if follow else _READ | os.O_NOFOLLOW, dir_fd=folder)
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.ENXIO}:
                refuse_changed(path)
            raise
        file = os.fdopen(descriptor, "rb", buffering=0)
        try:
            _check_file(os.fstat(descriptor), path, max_bytes)
        except BaseException:
            file.close()
            raise
        return file


def _check_file(status: os.stat_result, path: Path, max_bytes: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ApplianceError(f"{path} is {kind_of(status.st_mode)}, not a regular file", hint="put a regular file there")
    if status.st_size > max_bytes:
        _refuse_size(path, max_bytes)


def _refuse_size(path: Path, max_bytes: int) -> NoReturn:
    raise ApplianceError(f"{path} is too large: at most {max_bytes:,} bytes are taken", hint=_LIMITS)


@contextlib.contextmanager
def _entered(place: Place, shown: Path) -> Iterator[int]:
    """A descriptor of the folder at `place`, to be listed."""
    if not stat.S_ISDIR(place.status.st_mode):
        raise ApplianceError(f"{shown} is {kind_of(place.status.st_mode)}, not a folder", hint="name a folder")
    with _about(shown):
        descriptor = os.open(place.name, _FOLDER | os.O_NOFOLLOW, dir_fd=place.folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _names(descriptor: int, path: Path, max_entries: int) -> tuple[str, ...]:
    names: list[str] = []
    with _about(path), os.scandir(descriptor) as entries:
        for entry in entries:
            names.append(entry.name)
            if len(names) > max_entries:
                raise ApplianceError(f"{path} holds more than {max_entries:,} entries", hint=_LIMITS)
    return tuple(sorted(names))


@contextlib.contextmanager
def _about(path: Path) -> Iterator[None]:
    """As `storage_errors`, where the kernel was given only a part of the name."""
    with storage_errors(path):
        try:
            yield
        except OSError as error:
            error.filename = None
            raise
