"""The root file-system of an appliance as a tree: what docs/guest-abi.md promises, and nothing that is not reached.

The rule: equal inputs give an equal tree; no path, time, user or name of the building machine gets in. Reading is done
through `appliance_files.read` only, so that every error names its file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from squib import __version__
from squib.build import appliance_files
from squib.build.app_folder import AppFolder
from squib.build.appliance_files import read
from squib.build.bytecode import Compiled, compile_module
from squib.build.cache import Cache
from squib.build.distributions import READERS, dist_info_files
from squib.build.include import LeftOut, included
from squib.build.interpreter import Interpreter
from squib.build.module_finder import APP, PACKAGES, Finder, Form, Kind, Module
from squib.build.python_modules import Reached, reachable
from squib.build.shared_libraries import Library, Resolver, closure, system_folders
from squib.errors import ApplianceError, HostError
from squib.formats import elf
from squib.host.untrusted import Folder
from squib.model.appliance import Appliance
from squib.model.image import InputRecord, Target
from squib.model.tree import Directory, Entry, File, RootfsTree, Symlink
from squib.wire import guest_spec

__all__ = ["SERVER_ID", "RootfsPlan", "plan"]

SERVER_ID = 65532
_SPEC = "/etc/squib/appliance"
_MOUNT_POINTS = ("/dev", "/proc", "/run", "/sys", "/tmp")  # noqa: S108 - in the image
_AS_NEEDED = frozenset({"httptools"})
"""Installed packages that squib itself brings: only what is reached of them."""

_C_LOADS = {"threading": "libgcc_s.so.1"}
"""Libraries that C code opens by name: glibc's pthread_exit wants this one (nptl/unwind-forcedunwind.c)."""


@dataclass(frozen=True, slots=True)
class RootfsPlan:
    """What goes in, and what it was made of.

    `closed`: a file of the appliance that is in it is not for other users to read. `left_out`: what `include` does not take.
    """

    tree: RootfsTree
    inputs: tuple[InputRecord, ...]
    closed: bool
    left_out: tuple[LeftOut, ...]


def plan(
    appliance: Appliance, interpreter: Interpreter, cache: Cache, multiarch: str, target: Target = Target.MACHINE
) -> RootfsPlan:
    """Reads all inputs and writes nothing but `cache`. Raises ApplianceError, UnavailableError, HostError, MissingError."""
    with Folder(appliance.folder) as folder:
        planner = _Planner(appliance, AppFolder(folder), interpreter, cache)
        planner.python(target)
        planner.include()
        planner.native(multiarch)
        planner.fixed()
        match target:
            case Target.MACHINE:
                planner.machine()
            case Target.CONTAINER:
                planner.container()
    return RootfsPlan(RootfsTree.of(planner.entries.values()), planner.inputs(), planner.app.closed, planner.left_out)


class _Planner:
    """Collects entries; each method adds one part."""

    def __init__(self, appliance: Appliance, app: AppFolder, interpreter: Interpreter, cache: Cache) -> None:
        self.entries: dict[str, Entry] = {}
        self.app = app
        self.left_out: tuple[LeftOut, ...] = ()
        self._appliance = appliance
        self._interpreter = interpreter
        self._cache = cache
        self._digests: dict[str, list[tuple[str, bytes]]] = {}
        self._native: list[tuple[Path, bytes, str]] = []
        self._loads: dict[str, str] = {}
        self._libraries: dict[str, Library] = {}

    def _add(self, entry: Entry) -> None:
        self.entries.setdefault(entry.path, entry)

    def _note(self, group: str, name: str, data: bytes) -> None:
        self._digests.setdefault(group, []).append((name, hashlib.sha256(data).digest()))

    # Python code

    def python(self, target: Target) -> None:
        """All modules that are reached, and the installed packages that they are of."""
        squib_package = Path(__file__).parent.parent
        finder = Finder(self._interpreter, squib_package, self.app)
        whole: dict[str, tuple[Module, str]] = {}
        modules = reachable(self._appliance, finder, self._compile, target)
        for reached in modules:
            self._module(reached)
            module = reached.module
            top = module.name.partition(".")[0]
            installed = module.kind is Kind.INSTALLED and module.form is Form.SOURCE and module.is_package
            if installed and top not in _AS_NEEDED and not any(module.name.startswith(f"{name}.") for name in whole):
                whole[module.name] = (module, reached.why)
            if module.name in _C_LOADS:
                self._loads[_C_LOADS[module.name]] = module.name
        for module, why in whole.values():
            self._whole(module, why)
        if any(reached.module.name in READERS for reached in modules):
            self._dist_info(tuple(reached.module for reached in modules if reached.module.kind is Kind.INSTALLED))
        self._add(Directory(f"{self._library}/lib-dynload", why="the interpreter looks for it at its start"))

    @property
    def _library(self) -> str:
        return f"/usr/lib/python{self._interpreter.short_version}"

    def _compile(self, module: Module) -> Compiled | None:
        if module.source is None:
            return None
        source = self._read(module.source)
        self._note(_group(module), module.image_path, source)
        try:
            return compile_module(source, module.image_path, self._interpreter.magic, self._cache)
        except (SyntaxError, ValueError) as error:
            if module.kind is not Kind.APP:
                return None  # it would fail to import on the building machine as well
            line = getattr(error, "lineno", None) or 1
            raise ApplianceError(
                f"{module.source}:{line}: {getattr(error, 'msg', error)}",
                hint=f"the image's Python is {self._interpreter.version}: python3 -m py_compile {module.source.name}",
            ) from error

    def _read(self, path: Path) -> bytes:
        return self.app.module(path) if self.app.holds(path) else read(path)

    def _module(self, reached: Reached) -> None:
        module = reached.module
        if module.form is Form.EXTENSION and module.source is not None:
            data = self._read(module.source)
            self._note(_group(module), module.image_path, data)
            self._extension(module.source, data, module.image_path, reached.why)
        # Frozen modules come out of the binary; os.pyc is what marks the library's folder (Modules/getpath.py).
        elif reached.compiled is not None and (module.form is Form.SOURCE or module.name == "os"):
            why = "marks the library's folder" if module.form is Form.FROZEN else reached.why
            self._add(File(module.image_path + "c", reached.compiled.pyc, why=why))

    def _extension(self, source: Path, data: bytes, path: str, why: str) -> None:
        self._native.append((source, data, path.rpartition("/")[2]))
        self._add(File(path, _cut(source, data), 0o755, why))

    def _whole(self, package: Module, why: str) -> None:
        (folder, there) = package.folders[0]
        reason = f"part of {package.name}, {why}"
        for relative in appliance_files.package_files(folder):
            path, source = f"{there}/{relative}", folder / relative
            if path in self.entries or (relative.suffix == ".py" and path + "c" in self.entries):
                continue
            if relative.suffix == ".py":
                compiled = self._compile(Module(package.name, package.kind, Form.SOURCE, source, path))
                if compiled is not None:
                    self._add(File(path + "c", compiled.pyc, why=reason))
                continue
            data = read(source)
            self._note(_group(package), path, data)
            if data.startswith(elf.MAGIC):
                self._extension(source, data, path, reason)
            else:
                self._add(File(path, data, why=reason))

    def _dist_info(self, modules: tuple[Module, ...]) -> None:
        for source, module in dist_info_files(modules, self._interpreter.search_path, read):
            path, data = f"{PACKAGES}/{source.parent.name}/{source.name}", read(source)
            self._note(_group(module), path, data)
            self._add(File(path, data, why=f"importlib.metadata reads it of {module.name}"))

    # what is no Python code

    def include(self) -> None:
        """`[image] include`, below /app."""
        self._add(Directory(APP, why="the appliance's own modules and files"))
        has_modules = frozenset(str(above) for path in self.entries for above in PurePosixPath(path).parents)
        found = included(self._appliance, self.app, APP, has_modules)
        self.left_out = found.left_out
        for entry in found.entries:
            self._note("appliance", entry.path, _content(entry))
            self._add(entry)

    def native(self, multiarch: str) -> None:
        """The interpreter, ld.so and all shared libraries."""
        binary = read(self._interpreter.binary)
        resolver = Resolver(binary, system_folders(multiarch), self._cache)
        roots = [(self._interpreter.binary, binary, "python3"), *self._native]
        for name, why in self._loads.items():
            path = resolver.find(name, elf.Linking(), self._interpreter.binary)
            if path is not None:
                roots.append((path, read(path), name))
                self._libraries[name] = Library(name, path, roots[-1][1], why)
        found, loader = closure(roots, resolver, read)
        self._libraries = {**self._libraries, **found}
        self._add(File("/usr/bin/python3", _cut(self._interpreter.binary, binary), 0o755, "the interpreter"))
        self._note("python", "/usr/bin/python3", binary)
        # A folder that this ld.so searches without being told.
        libc = self._libraries.get("libc.so.6")
        folder = str(libc.source.parent) if libc else "/lib"
        for library in self._libraries.values():
            self._add(
                File(f"{folder}/{library.name}", _cut(library.source, library.data), why=f"needed by {library.needed_by}")
            )
        if loader:
            data = read(Path(loader))
            self._note(Path(loader).name, loader, data)
            self._add(File(loader, _cut(Path(loader), data), 0o755, "the dynamic linker of /usr/bin/python3"))

    def fixed(self) -> None:
        """The spec and the users."""
        spec = guest_spec.encode(self._appliance, (APP,))
        self._add(File(_SPEC, spec, why="what the server program knows of its appliance"))
        self._note("appliance", _SPEC, spec)
        users = f"root:x:0:0:root:/:\nsquib:x:{SERVER_ID}:{SERVER_ID}:the server process:/tmp:\n"
        self._add(File("/etc/passwd", users.encode(), why="names of root and of the server's user"))
        self._add(File("/etc/group", f"root:x:0:\nsquib:x:{SERVER_ID}:\n".encode(), why="names of their groups"))
        self._add(File("/etc/hosts", b"127.0.0.1 localhost\n::1 localhost\n", why="the name localhost"))

    def machine(self) -> None:
        """PID 1's script, and what it mounts on or writes."""
        self._add(File("/sbin/init", _script(self._library, "squib.guest.init", timed=True), 0o755, "PID 1"))
        self._add(Symlink("/etc/resolv.conf", "/run/resolv.conf", "PID 1 writes it where ip= names servers"))
        for path in _MOUNT_POINTS:
            self._add(Directory(path, why="PID 1 mounts on it"))

    def container(self) -> None:
        """The server's script, and what an engine mounts on; engines write /etc/resolv.conf themselves."""
        self._add(File("/bin/server", _script(self._library, "squib.guest.container"), 0o755, "the program of a container"))
        for path in _MOUNT_POINTS:
            if path == "/tmp":  # noqa: S108 - in the image
                self._add(
                    Directory(path, 0o1777, "no file-system is mounted on it: whoever the server runs as may write there")
                )
            else:
                self._add(Directory(path, why="the engine mounts on it"))

    def inputs(self) -> tuple[InputRecord, ...]:
        """One record for each part, sorted by name."""
        records = [InputRecord(name, self._version(name), _sha256(parts)) for name, parts in self._digests.items()]
        records += [
            InputRecord(library.name, "", hashlib.sha256(library.data).hexdigest()) for library in self._libraries.values()
        ]
        return tuple(sorted(records, key=lambda record: record.name))

    def _version(self, group: str) -> str:
        if group in {"python", "python-library"}:
            return self._interpreter.version
        if group == "squib":
            return __version__
        return next(_distribution_versions(group, self._interpreter.search_path), "")


def _group(module: Module) -> str:
    match module.kind:
        case Kind.STDLIB:
            return "python-library"
        case Kind.GUEST:
            return "squib"
        case Kind.INSTALLED:
            return module.name.partition(".")[0]
        case Kind.APP:
            return "appliance"


def _distribution_versions(package: str, folders: tuple[Path, ...]) -> Iterator[str]:
    wanted = package.lower().replace("-", "_")
    for folder in folders:
        for path in sorted(folder.glob("*.dist-info")):
            name, _, version = path.name.removesuffix(".dist-info").partition("-")
            if name.lower().replace("-", "_").replace(".", "_") == wanted:
                yield version


def _content(entry: Entry) -> bytes:
    match entry:
        case File(data=data):
            return data
        case Symlink(target=target):
            return os.fsencode(target)
        case _:
            return b""


def _sha256(parts: list[tuple[str, bytes]]) -> str:
    whole = hashlib.sha256()
    for name, digest in sorted(parts):
        whole.update(name.encode() + b"\0" + digest)
    return whole.hexdigest()


def _cut(source: Path, data: bytes) -> bytes:
    try:
        return elf.cut_symbols(data)
    except ValueError as error:
        raise HostError(
            f"{source}: {error}", hint="squib makes images for 64-bit x86 and ARM; install that package again if this is one"
        ) from error


def _script(library: str, module: str, *, timed: bool = False) -> bytes:
    """Starts `module`'s main; `timed`: with the moment when the script began, in nanoseconds of CLOCK_BOOTTIME."""
    # -I: no environment, no user's folder; -S: no site. The path is set here, as the zip that CPython puts first is not there.
    lines = (
        "#!/usr/bin/python3 -IS",
        "import sys",
        *(("import time", "begun = time.clock_gettime_ns(time.CLOCK_BOOTTIME)") if timed else ()),
        f'sys.path[:] = ["{library}", "{library}/lib-dynload", "{PACKAGES}"]',
        f"from {module} import main",
        "main(begun)" if timed else "main()",
    )
    return ("\n".join(lines) + "\n").encode()
