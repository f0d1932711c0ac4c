"""Where the modules of editable installs lie (PEP 660), read without running anything.

An editable install leaves a .pth file. A folder in it is on the interpreter's path already; an `import` in it is of a module
that puts a finder in place, and that holds names of modules and where they lie as literals: the dictionaries of setuptools and
scikit-build-core, the calls `map_module(NAME, PATH)` of editables (hatch, PDM). All of these are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ast

__all__ = ["finders", "mapped_by", "mapped_folders", "mapped_modules"]

_IMPORT = re.compile(r"import[ \t]+([A-Za-z_][A-Za-z0-9_]*)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*\Z")
_MAX_BYTES = 4 << 20
"""A finder of scikit-build-core names every file of its project."""


def mapped_modules(folders: tuple[Path, ...]) -> dict[str, Path]:
    """Names of modules, and the package's folder or the module's file, from the .pth files in `folders` (site.py)."""
    found: dict[str, Path] = {}
    for folder in folders:
        for pth in sorted(folder.glob("*.pth")):
            for name, path in mapped_by(pth):
                found.setdefault(name, path)
    return found


def mapped_by(pth: Path) -> Iterator[tuple[str, Path]]:
    """The same of one .pth file."""
    for finder in finders(pth):
        yield from _mapped(_text(finder))


def mapped_folders(pth: Path) -> Iterator[Path]:
    """The folders that a .pth file puts on the interpreter's path."""
    yield from (Path(line) for line in _text(pth).splitlines() if line.startswith("/") and Path(line).is_dir())


def finders(pth: Path) -> Iterator[Path]:
    """The files of the modules that a .pth file imports, if they lie beside it."""
    for line in _text(pth).splitlines():
        if match := _IMPORT.match(line):
            yield pth.parent / f"{match[1]}.py"


def _mapped(source: str) -> Iterator[tuple[str, Path]]:
    import ast

    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        match node:
            case ast.Dict(keys=keys, values=values):
                for key, value in zip(keys, values, strict=True):
                    yield from _pair(key, value)
            case ast.Call(func=ast.Attribute(attr="map_module") | ast.Name(id="map_module"), args=[key, value]):
                yield from _pair(key, value)


def _pair(key: ast.expr | None, value: ast.expr) -> Iterator[tuple[str, Path]]:
    import ast

    match key, value:
        case (
            ast.Constant(value=str(name)),
            ast.Constant(value=str(text)) | ast.List(elts=[ast.Constant(value=str(text)), *_]),
        ) if _NAME.match(name) and text.startswith("/") and Path(text).exists():
            path = Path(text)
            yield name, path.parent if path.name == "__init__.py" else path


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_BYTES).decode(errors="replace")
    except OSError:
        return ""
