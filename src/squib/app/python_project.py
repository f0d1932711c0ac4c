"""What Python project a folder holds already: its framework, its app, and what squib could serve of it.

The rule: everything is read, and nothing imported; what cannot be read, or is no Python, tells nothing.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from squib.errors import SquibError
from squib.host.untrusted import Folder

__all__ = ["PythonProject", "look"]

_MAX_FILES, _MAX_FILE_BYTES, _MAX_NAMES = 64, 128 << 10, 10_000

_FRAMEWORKS = {
    "aiohttp": "aiohttp", "bottle": "Bottle", "cherrypy": "CherryPy", "django": "Django", "falcon": "Falcon",
    "fastapi": "FastAPI", "flask": "Flask", "litestar": "Litestar", "pyramid": "Pyramid", "quart": "Quart", "sanic": "Sanic",
    "starlette": "Starlette", "tornado": "Tornado",
}  # fmt: skip
"""The package of each framework, and how it calls itself."""

_APPS = frozenset({
    "Application", "App", "Bottle", "FastAPI", "Flask", "Litestar", "Quart", "Sanic", "Starlette", "get_asgi_application",
    "get_wsgi_application",
})  # fmt: skip
"""What is called to make an app, with a framework imported beside it."""

_SIGNS = ("pyproject.toml", "requirements.txt", "setup.py", "setup.cfg", "Pipfile", "manage.py")
_DEPENDENCIES = ("requirements.txt", "pyproject.toml", "Pipfile", "setup.cfg", "setup.py")
_NO_APP = re.compile(r"(test_.*|.*_test|conftest|setup|noxfile|tasks)\.py")
_LIKELY = ("__init__.py", "app.py", "main.py", "wsgi.py", "asgi.py", "server.py")
_HANDLER = "squib.guest.handler"
_DEPENDENCY = re.compile(
    rf"""^[^#\n]*?(?:^|["'\s\[,])({"|".join(_FRAMEWORKS)})(?=$|["'\s\[\]=<>~!;,])""", re.MULTILINE | re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class PythonProject:
    """`files` show that there is one. `framework` is "" where none is known, and so is `app`, its MODULE:NAME.

    `handlers` are MODULE:FUNCTION of the functions that squib could serve: they take one argument, beside squib's import.
    """

    files: tuple[str, ...]
    framework: str = ""
    app: str = ""
    handlers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Source:
    """What one module tells."""

    framework: str
    app: str
    handlers: tuple[str, ...]


def look(folder: Path) -> PythonProject | None:
    """The project in `folder`; None where it has no module of its own and no framework among its dependencies."""
    if not folder.is_dir():
        return None
    with Folder(folder) as place:
        names = place.names(max_entries=_MAX_NAMES)
        sources = {path: source for path in _modules(place, names) if (source := _read(place, path)) is not None}
        wanted = _dependency(place, names)
    if not sources and not wanted:
        return None
    apps = [source for source in sources.values() if source.app]
    framework = next((one.framework for one in (*apps, *sources.values()) if one.framework), wanted)
    handlers = tuple(handler for source in sources.values() for handler in source.handlers)
    files = (*(name for name in _SIGNS if name in names), *(str(path) for path in sources if str(path) not in _SIGNS))
    return PythonProject(files, framework, apps[0].app if apps else "", handlers)


def _modules(place: Folder, names: tuple[str, ...]) -> Iterator[PurePosixPath]:
    """Paths of modules: those in the folder and in src, and in each package those that usually hold the app."""
    found = [PurePosixPath(name) for name in names if _is_module(name)]
    for above in ("", "src"):
        top = PurePosixPath(above)
        inside = names if not above else _names(place, top)
        found += [top / name for name in inside if above and _is_module(name)]
        packages = [top / name for name in inside if name.isidentifier() and "__init__.py" in _names(place, top / name)]
        found += [package / name for package in packages for name in _LIKELY if name in _names(place, package)]
    yield from found[:_MAX_FILES]


def _is_module(name: str) -> bool:
    return name.endswith(".py") and name.removesuffix(".py").isidentifier() and not _NO_APP.fullmatch(name)


def _names(place: Folder, path: PurePosixPath) -> tuple[str, ...]:
    try:
        return place.names(path, max_entries=_MAX_NAMES)
    except SquibError:  # it is no folder, or a link
        return ()


def _read(place: Folder, path: PurePosixPath) -> _Source | None:
    """What the module tells; it is one of the project's where it can be read, whatever it says."""
    try:
        data = place.read(path, max_bytes=_MAX_FILE_BYTES)
    except SquibError:
        return None
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(data)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _Source("", "", ())
    parts = [part for part in path.with_suffix("").parts if part != "__init__"]
    return _told(tree, ".".join(parts[1:] if parts[:1] == ["src"] else parts))


def _told(tree: ast.Module, module: str) -> _Source:
    imported = {name for node in tree.body for name in _imported(node)}
    packages = sorted({name.partition(".")[0] for name in imported} & _FRAMEWORKS.keys())
    framework = _FRAMEWORKS[packages[0]] if packages else ""
    apps = [target for node in tree.body if framework for target in _app(node)]
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and _takes_one(node.args)]
    handlers = [node.name for node in functions if _HANDLER in imported and not node.name.startswith("_")]
    return _Source(framework, f"{module}:{apps[0]}" if apps else "", tuple(f"{module}:{name}" for name in handlers))


def _imported(node: ast.stmt) -> tuple[str, ...]:
    match node:
        case ast.Import():
            return tuple(alias.name for alias in node.names)
        case ast.ImportFrom(level=0, module=str(module)):
            return (module,)
        case _:
            return ()


def _app(node: ast.stmt) -> tuple[str, ...]:
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=ast.Name(id=maker) | ast.Attribute(attr=maker))):
            return (name,) if maker in _APPS else ()
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.Call(func=ast.Name(id=maker) | ast.Attribute(attr=maker))):
            return (name,) if maker in _APPS else ()
        case _:
            return ()


def _takes_one(arguments: ast.arguments) -> bool:
    positional = [*arguments.posonlyargs, *arguments.args]
    needed = len(positional) - len(arguments.defaults)
    return bool(positional) and needed <= 1 and all(default is not None for default in arguments.kw_defaults)


def _dependency(place: Folder, names: tuple[str, ...]) -> str:
    """The first framework that a list of dependencies names."""
    for name in _DEPENDENCIES:
        if name in names:
            try:
                text = place.read(name, max_bytes=_MAX_FILE_BYTES).decode("utf-8", "replace")
            except SquibError:
                continue
            if found := _DEPENDENCY.search(text):
                return _FRAMEWORKS[found[1].lower()]
    return ""
