"""Where a Python module lies, by name: as the import system of the image will find it, on the building machine.

The places are searched in the order of sys.path in the image: the appliance's folder (for its own and for installed code),
the standard library, squib's guest code, installed packages. Nothing is imported to find out.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from squib.build.app_folder import AppFolder
from squib.build.interpreter import Interpreter

__all__ = ["Finder", "Form", "Kind", "Module"]

PACKAGES = "/usr/lib/squib"
APP = "/app"


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

    def find(self, name: str, importer: Kind) -> Module | None:
        """The module `name` as code of `importer` gets it; None where there is none."""
        own = importer in {Kind.APP, Kind.INSTALLED}
        stdlib_only = importer is Kind.STDLIB
        cached = (name, own, stdlib_only)
        if cached not in self._found:
            self._found[cached] = self._find(name, importer, own=own, stdlib_only=stdlib_only)
        return self._found[cached]

    def _find(self, name: str, importer: Kind, *, own: bool, stdlib_only: bool) -> Module | None:
        parent_name, _, tail = name.rpartition(".")
        if name in self._interpreter.builtin:
            return Module(name, Kind.STDLIB, Form.BUILTIN)
        if parent_name:
            parent = self.find(parent_name, importer)
            if parent is None or not parent.is_package:
                return None
            places = [(parent.kind, here, there) for here, there in parent.folders]
        else:
            places = [self._app] if own else []
            places += self._stdlib
            if not stdlib_only:
                places += [self._guest] if name == "squib" else self._installed
        found = self._in_places(name, tail, places)
        if name in self._interpreter.frozen and (found is None or found.kind is Kind.STDLIB):
            if found is None:
                return Module(name, Kind.STDLIB, Form.FROZEN)
            return Module(name, Kind.STDLIB, Form.FROZEN, found.source, found.image_path, found.folders)
        return found

    def _in_places(self, name: str, tail: str, places: list[tuple[Kind, Path, str]]) -> Module | None:
        portions: list[tuple[Kind, Path, str]] = []
        for kind, folder, there in places:
            names = self._listing(folder)
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
