"""Where a Python module lies, by name: as the import system of the image will find it, on the building machine.

The places are searched in the order of sys.path in the image: the appliance's folder (for its own and for installed code),
the standard library, squib's guest code, installed packages, then what an editable install maps. Nothing is imported to find
out.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from squib.build.appliance_files import AppFolder
from squib.build.editable import mapped_modules
from squib.build.interpreter import Interpreter

__all__ = ["Finder", "Form", "Kind", "Module"]

PACKAGES = "/usr/lib/squib"
APP = "/app"

_NOT_LIBRARY = frozenset({"test", "site-packages", "dist-packages"})


class Kind(Enum):
    """Whose code it is."""

    STDLIB = "the standard library"
    GUEST = "squib"
    INSTALLED = "an installed package"
    APP = "the appliance"


class Form(Enum):
    """What a module is made of. The binary holds BUILTIN and FROZEN ones, a NAMESPACE has no file."""

    SOURCE = "source"
    EXTENSION = "extension"
    BUILTIN = "builtin"
    FROZEN = "frozen"
    NAMESPACE = "namespace"


@dataclass(frozen=True, slots=True)
class Module:
    """`source` is its file here, `image_path` that file in the image; `folders` (here, there) hold submodules."""

    name: str
    kind: Kind
    form: Form
    source: Path | None = None
    image_path: str = ""
    folders: tuple[tuple[Path, str], ...] = ()

    @property
    def is_package(self) -> bool:
        """Whether it can have submodules."""
        return bool(self.folders)


class Finder:
    """Finds modules; what it read of a folder it does not read again."""

    def __init__(self, interpreter: Interpreter, squib_package: Path, app: AppFolder) -> None:
        library = f"/usr/lib/python{interpreter.short_version}"
        self._interpreter = interpreter
        self._stdlib = [
            (Kind.STDLIB, interpreter.stdlib, library),
            (Kind.STDLIB, interpreter.dynload, f"{library}/lib-dynload"),
        ]
        self._guest = (Kind.GUEST, squib_package.parent, PACKAGES)
        self._installed = [(Kind.INSTALLED, folder, PACKAGES) for folder in interpreter.search_path]
        self._app_folder = app
        self._app = (Kind.APP, app.folder.path, APP)
        self._names: dict[Path, frozenset[str]] = {}
        self._found: dict[tuple[str, bool, bool], Module | None] = {}
        self._mapped: dict[str, Path] | None = None
        self._library: frozenset[str] | None = None

    def find(self, name: str, importer: Kind) -> Module | None:
        """The module `name` as code of `importer` gets it; None where there is none."""
        end = name.find(".")
        while end != -1:  # from the top: however many parts a name has, the first that is not there ends it
            package = self._known(name[:end], importer)
            if package is None or not package.is_package:
                return None
            end = name.find(".", end + 1)
        return self._known(name, importer)

    def _known(self, name: str, importer: Kind) -> Module | None:
        own = importer in {Kind.APP, Kind.INSTALLED}
        stdlib_only = importer is Kind.STDLIB
        cached = (name, own, stdlib_only)
        if cached not in self._found:
            self._found[cached] = self._find(name, importer, own=own, stdlib_only=stdlib_only)
        return self._found[cached]

    def is_extension(self, name: str) -> bool:
        """Whether a file called so is a module in C."""
        return name.endswith(self._interpreter.suffixes)

    def submodules(self, package: Module) -> tuple[str, ...]:
        """The names, without the package's, of the modules in `package`. Sorted."""
        return tuple(sorted({name for folder, _ in package.folders for name in self._modules_in(folder)}))

    def library(self) -> frozenset[str]:
        """The names of all modules of the standard library that are files, CPython's tests left out."""
        if self._library is None:
            found: set[str] = set()
            waiting = [("", self._interpreter.stdlib), ("", self._interpreter.dynload)]
            while waiting:
                prefix, folder = waiting.pop()
                for name in self._modules_in(folder) - _NOT_LIBRARY:
                    found.add(prefix + name)
                    waiting.append((f"{prefix}{name}.", folder / name))
            self._library = frozenset(found)
        return self._library

    def installed_tops(self) -> frozenset[str]:
        """The names of all modules and packages in the folders of installed ones and in the appliance's."""
        places = [*self._installed, self._app]
        return frozenset(name for _, folder, _ in places for name in self._modules_in(folder))

    def _modules_in(self, folder: Path) -> frozenset[str]:
        names = self._listing(folder)
        suffixes = (".py", *self._interpreter.suffixes)
        files = {name.removesuffix(suffix) for name in names for suffix in suffixes if name.endswith(suffix)}
        packages = {name for name in names if name.isidentifier() and "__init__.py" in self._listing(folder / name)}
        return frozenset(name for name in files | packages if name.isidentifier() and name != "__init__")

    def _find(self, name: str, importer: Kind, *, own: bool, stdlib_only: bool) -> Module | None:
        parent_name, _, tail = name.rpartition(".")
        if name in self._interpreter.builtin:
            return Module(name, Kind.STDLIB, Form.BUILTIN)
        if parent_name:
            parent = self._known(parent_name, importer)
            if parent is None or not parent.is_package:
                return None
            places = [(parent.kind, here, there) for here, there in parent.folders]
            stdlib_only = stdlib_only or parent.kind is not Kind.INSTALLED
        else:
            places = [self._app] if own else []
            places += self._stdlib
            if not stdlib_only:
                places += [self._guest] if name == "squib" else self._installed
        found = self._in_places(name, tail, places)
        if found is None and not stdlib_only and name != "squib":
            found = self._from_editable(name)
        if name in self._interpreter.frozen and (found is None or found.kind is Kind.STDLIB):
            if found is None:
                return Module(name, Kind.STDLIB, Form.FROZEN)
            return Module(name, Kind.STDLIB, Form.FROZEN, found.source, found.image_path, found.folders)
        return found

    def _from_editable(self, name: str) -> Module | None:
        if self._mapped is None:
            self._mapped = mapped_modules(tuple(folder for _, folder, _ in self._installed))
        there = f"{PACKAGES}/{name.replace('.', '/')}"
        path = self._mapped.get(name)
        if path is None:
            below = [other for mapped, other in self._mapped.items() if mapped.startswith(f"{name}.")]
            return Module(name, Kind.INSTALLED, Form.NAMESPACE, folders=((below[0].parent, there),)) if below else None
        if path.is_dir():
            if "__init__.py" in self._listing(path):
                return Module(name, Kind.INSTALLED, Form.SOURCE, path / "__init__.py", f"{there}/__init__.py", ((path, there),))
            return Module(name, Kind.INSTALLED, Form.NAMESPACE, folders=((path, there),))
        for suffix in self._interpreter.suffixes:
            if path.name.endswith(suffix):
                return Module(name, Kind.INSTALLED, Form.EXTENSION, path, there + suffix)
        return Module(name, Kind.INSTALLED, Form.SOURCE, path, f"{there}.py")

    def _in_places(self, name: str, tail: str, places: list[tuple[Kind, Path, str]]) -> Module | None:
        portions: list[tuple[Kind, Path, str]] = []
        for kind, folder, there in places:
            names = self._listing(folder)
            if tail in names and self._app_folder.holds(folder):
                self._app_folder.check(folder / tail)
            if tail in names and "__init__.py" in (below := self._listing(folder / tail)):
                inside = ((folder / tail, f"{there}/{tail}"),)
                return Module(name, kind, Form.SOURCE, folder / tail / "__init__.py", f"{there}/{tail}/__init__.py", inside)
            for suffix in self._interpreter.suffixes:
                if tail + suffix in names:
                    return Module(name, kind, Form.EXTENSION, folder / (tail + suffix), f"{there}/{tail}{suffix}")
            if f"{tail}.py" in names:
                return Module(name, kind, Form.SOURCE, folder / f"{tail}.py", f"{there}/{tail}.py")
            if tail in names and below:
                portions.append((kind, folder / tail, f"{there}/{tail}"))
        if not portions:
            return None
        return Module(name, portions[0][0], Form.NAMESPACE, folders=tuple((here, there) for _, here, there in portions))

    def _listing(self, folder: Path) -> frozenset[str]:
        names = self._names.get(folder)
        if names is None:
            names = self._names[folder] = self._app_folder.names(folder) if self._app_folder.holds(folder) else _names(folder)
        return names


def _names(folder: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))  # noqa: PTH208 - names, and half the time of iterdir
    except OSError:
        return frozenset()
