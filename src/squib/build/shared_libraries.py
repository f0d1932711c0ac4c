"""The shared libraries that programs and C extensions need, found as the dynamic linker finds them.

Order of search (ld.so(8)): DT_RPATH where there is no DT_RUNPATH, DT_RUNPATH, the folders of /etc/ld.so.conf, the default
ones. LD_LIBRARY_PATH and glibc-hwcaps folders are left out: they would make the image depend on who builds it and on which
processor. In the image all libraries lie in one folder, the one where the building machine keeps libc: its ld.so searches
there without a cache. RPATHs of the building machine lead nowhere in the image, and the search then comes to that folder.
Libraries that a distribution brings (NAME.libs) stay in their place, where $ORIGIN finds them: two of one name do not meet.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from squib.build.cache import Cache, key
from squib.errors import HostError, SquibError, UnavailableError
from squib.formats import elf
from squib.formats.elf import Linking
from squib.host.untrusted import open_file

__all__ = ["Library", "Native", "Resolver", "closure", "system_folders"]

_CONFIGURATION = Path("/etc/ld.so.conf")
_DEFAULTS = ("/lib", "/usr/lib", "/lib64", "/usr/lib64")
_HEADER_SIZE = 20
_SHARED_OBJECT = b"\x03\x00"
"""ET_DYN, in e_type of the header (elf(5)): no core, whatever its name."""

_MAX_BYTES = 1 << 30
_MAX_INCLUDE_DEPTH = 4


@dataclass(frozen=True, slots=True)
class Library:
    """A library in the image: `name` is what others need it by, `source` where it was found, `data` as it is there."""

    name: str
    source: Path
    data: bytes
    needed_by: str


def system_folders(multiarch: str, configuration: Path = _CONFIGURATION) -> tuple[Path, ...]:
    """The folders that ld.so searches for everybody, each once."""
    found = [*_configured(configuration, _MAX_INCLUDE_DEPTH)]
    found += [Path(f"{folder}/{multiarch}") for folder in ("/lib", "/usr/lib") if multiarch]
    found += map(Path, _DEFAULTS)
    return tuple(dict.fromkeys(found))


def _configured(path: Path, depth: int) -> Iterator[Path]:
    try:
        lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return
    for line in lines:
        words = line.partition("#")[0].split()
        if words[:1] == ["include"] and depth:
            for pattern in words[1:]:
                # Relative to the file, as ldconfig(8) reads it.
                folder, name = (path.parent / pattern).parent, Path(pattern).name
                for included in sorted(folder.glob(name)):
                    yield from _configured(included, depth - 1)
        elif words and words[0].startswith("/"):
            yield Path(words[0])


class Resolver:
    """Finds libraries for files like `binary`; what files need is read once and kept in `cache`."""

    def __init__(self, binary: bytes, folders: tuple[Path, ...], cache: Cache) -> None:
        self._header = binary[:_HEADER_SIZE]
        self._folders = folders
        self._cache = cache

    def linking(self, data: bytes, source: Path) -> Linking:
        """What `data` asks of the dynamic linker. Raises HostError where it is no ELF file."""
        name = key("linking 1", hashlib.sha256(data).digest())
        match self._cache.get(name):
            case (str(interpreter), str(soname), tuple(needed), tuple(rpath), tuple(runpath)):
                return Linking(interpreter, soname, needed, rpath, runpath)
        try:
            found = elf.read_linking(data)
        except ValueError as error:
            raise HostError(f"{source}: {error}", hint="install the package that it came from again") from error
        self._cache.put(name, (found.interpreter, found.soname, found.needed, found.rpath, found.runpath))
        return found

    def find(self, name: str, linking: Linking, source: Path) -> Path | None:
        """Where the library `name`, needed by `source`, lies; None if nowhere."""
        if "/" in name:
            return None  # a path of some building machine: it leads nowhere in the image
        own = linking.runpath or linking.rpath
        origin = str(source.parent)
        folders = [Path(entry.replace("${ORIGIN}", origin).replace("$ORIGIN", origin)) for entry in own]
        for folder in (*folders, *self._folders):
            path = folder / name
            if self._fits(path):
                return path
        return None

    def _fits(self, path: Path) -> bool:
        try:
            with open_file(path, max_bytes=_MAX_BYTES, follow=True) as file:
                header = file.read(_HEADER_SIZE)
                return elf.is_same_machine(header, self._header) and header[16:18] == _SHARED_OBJECT
        except (SquibError, OSError, ValueError):  # a ValueError: a NUL in the name
            return False


@dataclass(frozen=True, slots=True)
class Native:
    """A file that ld.so loads: where it lies here and in the image, its content here, and whether it is sure to be loaded."""

    source: Path
    path: str
    data: bytes
    loaded: bool = True

    @property
    def name(self) -> str:
        """What people call it."""
        return self.path.rpartition("/")[2]


def closure(roots: Iterable[Native], resolver: Resolver, read: Callable[[Path], bytes]) -> tuple[dict[str, Library], str]:
    """All libraries that `roots` need beside themselves, by name; and the PT_INTERP of the first that has one.

    Where one name means two libraries, their content decides. What a root may never load need not be there. Raises
    UnavailableError where a library is missing, HostError where one name means two that differ.
    """
    libraries: dict[str, Library] = {}
    interpreter = ""
    waiting = list(roots)
    places = {item.source: item.path for item in waiting}
    own_names = {path.rpartition("/")[2] for path in places.values()}
    while waiting:
        item = waiting.pop(0)
        linking = resolver.linking(item.data, item.source)
        interpreter = interpreter or linking.interpreter
        for name in linking.needed:
            if name == Path(interpreter).name:
                continue  # ld.so itself: it is there when it starts
            path = resolver.find(name, linking, item.source)
            if (path is None and name in own_names) or (path is not None and _stays(item, path, places)):
                continue
            if path is None or not _agrees(path, libraries.get(name), read):
                if item.loaded:
                    raise _conflict(name, path, item, libraries.get(name))
                continue
            if name not in libraries:
                content = read(path)
                libraries[name] = Library(Path(name).name, path, content, item.name)
                waiting.append(Native(path, Path(name).name, content, item.loaded))
    return libraries, interpreter


def _stays(item: Native, library: Path, places: dict[Path, str]) -> bool:
    """Whether the library is in the image already, where `item` finds it: as far from it there as it is here ($ORIGIN)."""
    where = places.get(Path(os.path.normpath(library)))
    here = os.path.relpath(os.path.normpath(library), item.source.parent)
    return where is not None and where == posixpath.normpath(posixpath.join(posixpath.dirname(item.path), here))


def _agrees(path: Path, known: Library | None, read: Callable[[Path], bytes]) -> bool:
    return known is None or path.samefile(known.source) or read(path) == known.data


def _conflict(name: str, path: Path | None, item: Native, known: Library | None) -> SquibError:
    if path is None or known is None:
        return UnavailableError(
            f"{item.source} needs the library {name}, which is not installed", hint=f"apt-file search {name}"
        )
    return HostError(
        f"{name} means two libraries: {known.source} for {known.needed_by}, {path} for {item.name}",
        hint="an image has room for one of them: install packages that agree",
    )
