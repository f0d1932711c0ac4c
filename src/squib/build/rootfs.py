"""The root file-system of an appliance as a tree: what docs/guest-abi.md promises, and nothing that is not reached.

The rule: equal inputs give an equal tree; no path, time, user or name of the building machine gets in. Reading is done
through `appliance_files` only, so that every error names its file.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from squib.build import etc_files, time_zones
from squib.build.appliance_files import AppFolder, read
from squib.build.cache import Cache
from squib.build.etc_files import SERVER_ID
from squib.build.include import LeftOut, included
from squib.build.inputs import Inputs, Part
from squib.build.interpreter import Interpreter
from squib.build.module_finder import APP, PACKAGES
from squib.build.python_code import PythonCode, cut
from squib.build.python_modules import Reach
from squib.build.shared_libraries import Library, Native, Resolver, closure, system_folders
from squib.formats import elf
from squib.host.untrusted import Folder
from squib.model.appliance import Appliance
from squib.model.image import InputKind, InputRecord, Target
from squib.model.tree import Directory, Entry, File, RootfsTree, Symlink
from squib.wire import guest_spec

__all__ = ["SERVER_ID", "RootfsPlan", "plan"]

_SPEC = "/etc/squib/appliance"
_MOUNT_POINTS = ("/dev", "/proc", "/run", "/sys", "/tmp")  # noqa: S108 - in the image
_PYTHON = "/usr/bin/python3"
_APPLIANCE = Part("appliance", "", InputKind.APPLIANCE)

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
        self._inputs = Inputs()
        self._code = PythonCode(appliance, app, interpreter, cache, self._inputs)
        self._loads: dict[str, str] = {}
        self._libraries: dict[str, Library] = {}

    def _add(self, entry: Entry) -> None:
        self.entries.setdefault(entry.path, entry)

    def python(self, target: Target) -> None:
        """All modules that are reached, and the installed distributions that they are of."""
        reach = self._code.plan(target)
        for entry in self._code.entries.values():
            self._add(entry)
        names = {reached.module.name for reached in reach.modules}
        self._loads = {library: name for name, library in _C_LOADS.items() if name in names}
        if "zoneinfo" in names or "tzset" in reach.words:
            self._time_zones(reach)
        self._add(Directory(f"{self._library}/lib-dynload", why="the interpreter looks for it at its start"))

    def _time_zones(self, reach: Reach) -> None:
        """What zoneinfo and the C library read: the distribution tzdata where it is installed, else this machine's."""
        if any(whole.distribution.name == time_zones.DISTRIBUTION for whole in reach.distributions):
            self._add(Symlink(time_zones.FOLDER, f"{PACKAGES}/tzdata/zoneinfo", "where zoneinfo and the C library look"))
            return
        for entry in time_zones.entries(read):
            self._add(entry)
            if isinstance(entry, File):
                part = Part("zoneinfo", time_zones.version(), InputKind.OTHER)
                self._inputs.note(part, entry.path, entry.data, Path(entry.path))

    def _certificates(self) -> None:
        source = etc_files.authorities()
        if source is None:
            return
        data = read(source)
        for entry in etc_files.certificates(data):
            self._add(entry)
        self._inputs.note(Part("ca-certificates", "", InputKind.OTHER), etc_files.CERTIFICATES, data, source)

    @property
    def _library(self) -> str:
        return f"/usr/lib/python{self._interpreter.short_version}"

    def include(self) -> None:
        """`[image] include`, below /app."""
        self._add(Directory(APP, why="the appliance's own modules and files"))
        has_modules = frozenset(str(above) for path in self.entries for above in PurePosixPath(path).parents)
        found = included(self._appliance, self.app, APP, has_modules)
        self.left_out = found.left_out
        for entry in found.entries:
            if isinstance(entry, File | Symlink):
                content = entry.data if isinstance(entry, File) else os.fsencode(entry.target)
                self._inputs.note(_APPLIANCE, entry.path, content)
            self._add(entry)

    def native(self, multiarch: str) -> None:
        """The interpreter, ld.so and all shared libraries."""
        binary = read(self._interpreter.binary)
        resolver = Resolver(binary, system_folders(multiarch), self._cache)
        roots = [Native(self._interpreter.binary, _PYTHON, binary), *self._code.native]
        for name, why in self._loads.items():
            path = resolver.find(name, elf.Linking(), self._interpreter.binary)
            if path is not None:
                data = read(path)
                roots.append(Native(path, name, data))
                self._libraries[name] = Library(name, path, data, why)
        found, loader = closure(roots, resolver, self.app.content)
        self._libraries = {**self._libraries, **found}
        self._add(File(_PYTHON, cut(self._interpreter.binary, binary), 0o755, "the interpreter"))
        self._inputs.note(
            Part("python", self._interpreter.version, InputKind.PYTHON), _PYTHON, binary, self._interpreter.binary
        )
        # A folder that this ld.so searches without being told.
        libc = self._libraries.get("libc.so.6")
        folder = str(libc.source.parent) if libc else "/lib"
        for library in self._libraries.values():
            self._add(File(f"{folder}/{library.name}", cut(library.source, library.data), why=f"needed by {library.needed_by}"))
        if loader:
            data = read(Path(loader))
            self._inputs.note(Part(Path(loader).name, "", InputKind.OTHER), loader, data, Path(loader))
            self._add(File(loader, cut(Path(loader), data), 0o755, "the dynamic linker of /usr/bin/python3"))

    def fixed(self) -> None:
        """The spec, and what stands in /etc; certificates where there is an OpenSSL that would look at them."""
        spec = guest_spec.encode(self._appliance, (APP,))
        self._add(File(_SPEC, spec, why="what the server program knows of its appliance"))
        self._inputs.note(_APPLIANCE, _SPEC, spec)
        for entry in etc_files.entries():
            self._add(entry)
        if any(path.rpartition("/")[2].startswith(("libssl", "_ssl.")) for path in self.entries):
            self._certificates()

    def machine(self) -> None:
        """PID 1's script, and what it mounts on or writes."""
        self._add(File("/sbin/init", _script(self._library, "squib.guest.init", timed=True), 0o755, "PID 1"))
        self._add(Symlink("/etc/resolv.conf", "/run/resolv.conf", "PID 1 writes it where ip= names servers"))
        self._add(Symlink("/etc/hosts", "/run/hosts", "PID 1 writes the machine's own name there"))
        for path in _MOUNT_POINTS:
            self._add(Directory(path, why="PID 1 mounts on it"))

    def container(self) -> None:
        """The server's script, and what an engine mounts on; engines write /etc/resolv.conf themselves."""
        hosts = b"127.0.0.1 localhost\n::1 localhost\n"
        self._add(File("/etc/hosts", hosts, why="the name localhost, where the engine writes none"))
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
        libraries = (
            InputRecord(library.name, "", hashlib.sha256(library.data).hexdigest(), InputKind.OTHER, library.source)
            for library in self._libraries.values()
        )
        return tuple(sorted((*self._inputs.records(), *libraries), key=lambda record: record.name))


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
