"""Installed distributions: which of them a module is of, what belongs to it, and what it requires.

The rules:
- A distribution is what its RECORD lists. Where it has none (Debian's packages, editable installs), it is the packages and
  modules that `top_level.txt` names or that are called as it is. A module of no distribution stands for one of its own.
- What pip installs beside it (scripts, manual pages) is no part of it, nor is the byte code of this machine, nor are the notes
  of installers: some of those hold paths of this machine.
- Names and versions are those of its metadata (PyYAML, not yaml).
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from squib.build.editable import finders, mapped_by, mapped_folders
from squib.build.module_finder import PACKAGES, Form, Module

__all__ = ["Distribution", "Distributions", "metadata_files", "parse_metadata", "recorded"]

_NOTES = frozenset(
    {"INSTALLER", "RECORD", "REQUESTED", "SOURCES.txt", "direct_url.json", "installed-files.txt", "uv_cache.json"}
)
_SUFFIXES = (".dist-info", ".egg-info")

Read = Callable[[Path], bytes]


@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """`info` is the folder (or file) of its metadata; `files` are paths below PACKAGES and where each lies here, sorted.

    `requires` are its requirements as it writes them (PEP 508).
    """

    name: str
    version: str
    info: Path | None
    files: tuple[tuple[str, Path], ...]
    requires: tuple[str, ...] = ()


class Distributions:
    """Those in the folders of installed packages; the first of a name counts, as for importlib.metadata."""

    def __init__(self, folders: tuple[Path, ...], read: Read) -> None:
        self._read = read
        self._infos = [info for folder in folders for suffix in _SUFFIXES for info in sorted(folder.glob(f"*{suffix}"))]
        self._by_name: dict[str, Path] = {}
        for info in self._infos:
            self._by_name.setdefault(_canonical(_name_of(info)), info)
        self._records: dict[Path, str] = {}
        self._made: dict[Path, Distribution] = {}
        self._alone: dict[str, Distribution] = {}
        self._by_source: dict[Path, Distribution] = {}

    def owner(self, module: Module) -> Distribution:
        """What the installed `module`, which has a file, is of."""
        assert module.source is not None  # noqa: S101 - for the type checker
        if module.source not in self._by_source:
            found = self._listed(module.source) or self._editable(module)
            if found is None:
                top = _top_package(module)
                found = self._alone.setdefault(top, Distribution(top, "", None, _files_of(module)))
            self._by_source[module.source] = found
            for _, source in found.files:
                self._by_source.setdefault(source, found)
        return self._by_source[module.source]

    def named(self, name: str) -> Distribution | None:
        """The installed distribution that a requirement calls `name`."""
        info = self._by_name.get(_canonical(name))
        return None if info is None else self._make(info)

    def _listed(self, source: Path) -> Distribution | None:
        for info in self._infos:
            if source.is_relative_to(info.parent) and self._lists(info, source.relative_to(info.parent).as_posix()):
                return self._make(info)
        return None

    def _lists(self, info: Path, where: str) -> bool:
        record = self._record(info)
        if record:
            return f"\n{where}," in record or f'\n"{where}",' in record
        return where.partition("/")[0].partition(".")[0] in self._tops(info)

    def _record(self, info: Path) -> str:
        """Its RECORD, with a line feed before each row."""
        if info not in self._records:
            text = self._text(info / "RECORD").replace("\r\n", "\n")
            self._records[info] = f"\n{text}" if text else ""
        return self._records[info]

    def _tops(self, info: Path) -> list[str]:
        """The names of its packages and modules, where no RECORD lists them."""
        return self._text(info / "top_level.txt").split() or [_canonical(_name_of(info)).replace("-", "_")]

    def _make(self, info: Path) -> Distribution:
        if info not in self._made:
            text = self._text(info if info.is_file() else info / ("METADATA" if info.suffix == ".dist-info" else "PKG-INFO"))
            name, version, requires = parse_metadata(text)
            if not requires:
                requires = tuple(_legacy_requirements(self._text(info / "requires.txt")))
            files = tuple(sorted(set(self._files(info))))
            self._made[info] = Distribution(name or _name_of(info), version, info, files, requires)
        return self._made[info]

    def _files(self, info: Path) -> Iterator[tuple[str, Path]]:
        base = info.parent
        rows = recorded(self._record(info))
        if not rows:
            for top in self._tops(info):
                yield from _top_level(base, top)
            return
        # .pth files are for this machine's interpreter (the image's reads none), and so is what they import.
        hooks = {base / row for row in rows if row.endswith(".pth")}
        hooks |= {finder for pth in hooks for finder in finders(pth)}
        for row in rows:
            if not row.startswith(f"{info.name}/") and base / row not in hooks and (base / row).is_file():
                yield row, base / row
        for pth in (hook for hook in hooks if hook.suffix == ".pth" and self._text(info / "direct_url.json")):
            for folder in mapped_folders(pth):
                for top in self._tops(info):
                    yield from _top_level(folder, top)
            for name, path in mapped_by(pth):
                where = name.replace(".", "/")
                if path.is_dir():
                    yield from ((f"{where}/{below}", source) for below, source in _below(path, path))
                else:
                    yield f"{where}{''.join(path.suffixes)}", path

    def _editable(self, module: Module) -> Distribution | None:
        """The distribution that was installed from the folder in which `module` lies: its RECORD does not list it (PEP 660)."""
        for info in self._infos:
            folder = _project(self._text(info / "direct_url.json"))
            if folder is not None and module.source is not None and module.source.is_relative_to(folder):
                whole = self._make(info)
                if module.source not in {source for _, source in whole.files}:
                    # `info` is the same, so a package of the project that is met later makes a part of its own.
                    whole = replace(whole, files=tuple(sorted({*whole.files, *_files_of(module)})))
                return whole
        return None

    def _text(self, path: Path) -> str:
        return self._read(path).decode(errors="replace") if path.is_file() else ""


def parse_metadata(text: str) -> tuple[str, str, tuple[str, ...]]:
    """Name, version and requirements in a METADATA or PKG-INFO (Core metadata specifications: headers, then a blank line)."""
    fields: dict[str, list[str]] = {}
    for line in text.splitlines():
        if not line:
            break
        key, colon, value = line.partition(":")
        if colon:
            fields.setdefault(key.lower(), []).append(value.strip())
    return "".join(fields.get("name", [])[:1]), "".join(fields.get("version", [])[:1]), tuple(fields.get("requires-dist", []))


def recorded(text: str) -> tuple[str, ...]:
    """The paths in a RECORD that lie in the folder of installed packages, without byte code of the building machine. Sorted."""
    rows = (row[0] for row in csv.reader(text.splitlines()) if row)
    return tuple(sorted({row for row in rows if _belongs(PurePosixPath(row))}))


def metadata_files(distribution: Distribution) -> Iterator[tuple[str, Path]]:
    """What goes in of its metadata: all but the notes of installers."""
    info = distribution.info
    if info is None:
        return
    if info.is_file():
        yield info.name, info
        return
    for where, source in _below(info.parent, info):
        if PurePosixPath(where).name not in _NOTES:
            yield where, source


def _belongs(path: PurePosixPath) -> bool:
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and not _is_byte_code(path)


def _is_byte_code(path: PurePosixPath) -> bool:
    return "__pycache__" in path.parts or path.suffix in {".pyc", ".pyo"}


def _below(base: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """All files in `folder`, named from `base`."""
    for where, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(where, name)
            relative = PurePosixPath(path.relative_to(base).as_posix())
            if path.is_file() and not _is_byte_code(relative):
                yield str(relative), path


def _top_level(folder: Path, top: str) -> Iterator[tuple[str, Path]]:
    """The files of the package or the module `top` in `folder`."""
    yield from _below(folder, folder / top)
    for path in (folder / f"{top}.py", *sorted(folder.glob(f"{top}.*.so"))):
        if path.is_file():
            yield path.name, path


def _files_of(module: Module) -> tuple[tuple[str, Path], ...]:
    """The files of the outermost package that has a file, and that `module` is in; for a module in none, its own."""
    assert module.source is not None  # noqa: S101 - for the type checker
    where = module.image_path.removeprefix(f"{PACKAGES}/")
    folder, place = module.source.parent, PurePosixPath(where).parent
    if not (folder / "__init__.py").is_file() or not place.name:
        return ((where, module.source),)
    while place.parent.name and (folder.parent / "__init__.py").is_file():
        folder, place = folder.parent, place.parent
    return tuple((f"{place}/{name}", source) for name, source in _below(folder, folder))


def _top_package(module: Module) -> str:
    (where, _), *_ = _files_of(module)
    parts = PurePosixPath(where).parts
    return module.name if module.form is Form.EXTENSION and len(parts) == 1 else parts[0].removesuffix(".py")


def _project(text: str) -> Path | None:
    """The folder that an editable install was made from, out of its direct_url.json (PEP 610)."""
    try:
        value = json.loads(text) if text else None
    except ValueError:
        return None
    match value:
        case {"url": str(url), "dir_info": {"editable": True}}:
            return Path(unquote(urlsplit(url).path))
    return None


def _legacy_requirements(text: str) -> Iterator[str]:
    """The requirements in a setuptools requires.txt that need no extra: those before its first section."""
    for line in text.splitlines():
        if line.startswith("["):
            return
        if line.strip():
            yield line.strip()


def _name_of(info: Path) -> str:
    return info.name.partition("-")[0].removesuffix(".dist-info").removesuffix(".egg-info")


def _canonical(name: str) -> str:
    """PEP 503."""
    return "-".join(filter(None, name.lower().replace("_", "-").replace(".", "-").split("-")))
