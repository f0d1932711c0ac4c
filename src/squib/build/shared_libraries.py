"""The shared libraries that programs and C extensions need, found as the dynamic linker finds them.

Order of search (ld.so(8)): DT_RPATH where there is no DT_RUNPATH, DT_RUNPATH, the folders of /etc/ld.so.conf, the default
ones. LD_LIBRARY_PATH and glibc-hwcaps folders are left out: they would make the image depend on who builds it and on which
processor. In the image all libraries lie in one folder, the one where the building machine keeps libc: its ld.so searches
there without a cache. RPATHs of the building machine lead nowhere in the image, and the search then comes to that folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from squib.build.cache import Cache, key
from squib.errors import HostError, UnavailableError
from squib.formats import elf
from squib.formats.elf import Linking

__all__ = ["Library", "Resolver", "closure", "system_folders"]

_CONFIGURATION = Path("/etc/ld.so.conf")
_DEFAULTS = ("/lib", "/usr/lib", "/lib64", "/usr/lib64")
_HEADER_SIZE = 20
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
            return Path(name) if self._fits(Path(name)) else None
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
            with path.open("rb") as file:
                return elf.is_same_machine(file.read(_HEADER_SIZE), self._header)
        except OSError:
            return False


def closure(
    roots: Iterable[tuple[Path, bytes, str]], resolver: Resolver, read: Callable[[Path], bytes]
) -> tuple[dict[str, Library], str]:
    """All libraries that `roots` (source, content, name for people) need, by name; and the PT_INTERP of the first that has one.

    Raises UnavailableError where a library is missing, HostError where one name means two libraries.
    """
    libraries: dict[str, Library] = {}
    interpreter = ""
    waiting = [(source, data, label) for source, data, label in roots]
    while waiting:
        source, data, label = waiting.pop(0)
        linking = resolver.linking(data, source)
        interpreter = interpreter or linking.interpreter
        for name in linking.needed:
            if name == Path(interpreter).name:
                continue  # ld.so itself: it is there when it starts
            path = resolver.find(name, linking, source)
            if name in libraries:
                if path is not None and not path.samefile(libraries[name].source):
                    raise HostError(
                        f"{name} means two libraries: {libraries[name].source} for {libraries[name].needed_by}, "
                        f"{path} for {label}",
                        hint="an image has room for one of them: install packages that agree",
                    )
                continue
            if path is None:
                raise UnavailableError(
                    f"{source} needs the library {name}, which is not installed", hint=f"apt-file search {name}"
                )
            content = read(path)
            libraries[name] = Library(Path(name).name, path, content, label)
            waiting.append((path, content, Path(name).name))
    return libraries, interpreter
