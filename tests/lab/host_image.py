"""The lab host's root file-system as a tree: Python with squib, its tests and what they need, a shell, and a few programs.

It is made by the pieces that make appliances (build.shared_libraries, build.bytecode, build.ext4), of what is installed here, so
it needs no root and no network. Byte code goes in ready: compiling is slow on an emulated processor.
"""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

from lab import layout
from squib.build import interpreter
from squib.build.appliance_files import read
from squib.build.bytecode import compile_module
from squib.build.cache import Cache
from squib.build.interpreter import Interpreter
from squib.build.shared_libraries import Native, Resolver, closure, system_folders
from squib.formats import elf
from squib.host import command
from squib.host.files import cache_home
from squib.model.tree import Directory, Entry, File, RootfsTree, Symlink
from support import PROJECT

PACKAGES = ("squib", "coverage", "pytest", "pytest-timeout")
"""Installed packages, with all that they need; squib's own code comes from the checkout."""

PROGRAMS = {
    "bash": "bash",
    "curl": "curl",
    "ip": "iproute2",
    "nft": "nftables",
    "pasta": "passt",
    "slirp4netns": "slirp4netns",
}
"""Programs of the host's own, and the Debian package of each."""

_BUSYBOX = "busybox-static"
_LEFT_OUT = re.compile(
    r"(test|idlelib|tkinter|turtledemo|lib2to3|ensurepip|pydoc_data|config-[^/]*|site-packages|dist-packages)/"
    r"|(.*/)?__pycache__/|lib-dynload/(_tkinter|_test|_ctypes_test|xx)|turtle\.py|.*\.(a|o|pyc)$"
)
"""Of the standard library: tests, and what needs a screen."""

_USERS = f"root:x:0:0:root:{layout.SCRATCH}/root:/bin/sh\n{layout.USER}:x:{layout.USER_ID}:{layout.USER_ID}::/tmp:/bin/sh\n"
_GROUPS = f"root:x:0:\nkvm:x:{layout.KVM_GROUP}:{layout.USER}\n{layout.USER}:x:{layout.USER_ID}:\n"
MOUNT_POINTS = ("/dev", "/proc", "/run", layout.SCRATCH, "/sys", "/tmp")
_MEASURE = b'import os; os.environ.get("COVERAGE_PROCESS_START") and __import__("coverage").process_startup()\n'
_INIT = f"#!{layout.VENV}/bin/python -I\nimport sys\nsys.path.insert(0, '{layout.PROJECT}/tests')\nfrom lab.init import main\nmain()\n"
_SQUIB = f"#!{layout.VENV}/bin/python\nfrom squib.__main__ import main\nmain()\n"


def plan(extra: Mapping[str, Path]) -> RootfsTree:
    """The tree; `extra` are files of this machine by their path there, programs among them executable."""
    builder = _Builder(interpreter.running())
    builder.standard_library()
    for distribution in distributions(PACKAGES):
        builder.package(distribution)
    builder.checkout()
    builder.programs(extra)
    builder.libraries()
    builder.fixed()
    return RootfsTree.of(builder.entries.values())


def distributions(names: tuple[str, ...]) -> tuple[importlib.metadata.Distribution, ...]:
    """`names` and all they require here and now, each once."""
    from packaging.requirements import Requirement

    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop(0)
        distribution = importlib.metadata.distribution(name)
        if distribution.name in found:
            continue
        found[distribution.name] = distribution
        requirements = [Requirement(text) for text in distribution.requires or ()]
        waiting += [need.name for need in requirements if need.marker is None or need.marker.evaluate({"extra": ""})]
    return tuple(found.values())


class _Builder:
    """Collects entries; each method adds one part."""

    def __init__(self, python: Interpreter) -> None:
        self.entries: dict[str, Entry] = {}
        self._python = python
        self._library = f"/usr/lib/python{python.short_version}"
        self._packages = f"{layout.VENV}/lib/python{python.short_version}/site-packages"
        self._cache = Cache(cache_home() / "bytecode")
        self._native: list[Native] = []

    def add(self, entry: Entry) -> None:
        self.entries.setdefault(entry.path, entry)

    def standard_library(self) -> None:
        """Without sources: nobody debugs it in the lab, and it imports faster."""
        for source in _files(self._python.stdlib, lambda path: not _LEFT_OUT.match(path)):
            there = f"{self._library}/{source.relative_to(self._python.stdlib).as_posix()}"
            if source.suffix == ".py":
                self.add(File(f"{there}c", self._compile(source, there)))
            else:
                self._file(source, there)
        if not self._python.dynload.is_relative_to(self._python.stdlib):
            for source in _files(self._python.dynload, lambda path: not _LEFT_OUT.match(f"lib-dynload/{path}")):
                self._file(source, f"{self._library}/lib-dynload/{source.name}")

    def package(self, distribution: importlib.metadata.Distribution) -> None:
        """All files that it installed, but its scripts."""
        for file in distribution.files or ():
            source = Path(str(file.locate()))
            if ".." not in file.parts and file.suffix not in {".pyc", ".pth"} and source.is_file():
                self._file(source, f"{self._packages}/{file.as_posix()}")

    def checkout(self) -> None:
        """squib's sources and its tests."""
        for name in ("src/squib", "tests"):
            for source in _files(PROJECT / name, lambda path: "__pycache__" not in path):
                self._file(source, f"{layout.PROJECT}/{source.relative_to(PROJECT).as_posix()}")
        self._file(PROJECT / "pyproject.toml", f"{layout.PROJECT}/pyproject.toml")
        self.add(File(f"{self._packages}/squib.pth", f"{layout.PROJECT}/src\n".encode()))
        self.add(File(f"{self._packages}/measure.pth", _MEASURE))
        self.add(File(f"{layout.VENV}/bin/squib", _SQUIB.encode(), 0o755))
        self.add(File(f"{layout.VENV}/pyvenv.cfg", b"home = /usr/bin\ninclude-system-site-packages = false\n"))
        for name in ("python", "python3"):
            self.add(Symlink(f"{layout.VENV}/bin/{name}", "/usr/bin/python3"))

    def programs(self, extra: Mapping[str, Path]) -> None:
        """Python, busybox under all its names, the host's own programs, and what was asked for."""
        self._program(self._python.binary, "/usr/bin/python3")
        for name, package in PROGRAMS.items():
            self._program(command.find(name, package=package), f"/usr/bin/{name}")
        busybox = command.find("busybox", package=_BUSYBOX)
        self._program(busybox, "/bin/busybox")
        for applet in _applets(busybox):
            if applet not in PROGRAMS:
                self.add(Symlink(f"/bin/{applet}", "/bin/busybox"))
        for path, source in extra.items():
            self._file(source, path)

    def libraries(self) -> None:
        """The shared libraries of everything so far, but those that a package brings itself; and ld.so."""
        multiarch = str(getattr(sys.implementation, "_multiarch", ""))
        resolver = Resolver(read(self._python.binary), system_folders(multiarch), self._cache)
        found, loader = closure(self._native, resolver, read)
        brought = {native.source.resolve() for native in self._native}
        folder = str(found["libc.so.6"].source.parent)
        for library in found.values():
            if library.source.resolve() not in brought:
                self.add(File(f"{folder}/{library.name}", elf.cut_symbols(library.data)))
        self._program(Path(loader), loader)

    def fixed(self) -> None:
        """PID 1, users, names, mount points."""
        self.add(File("/sbin/init", _INIT.encode(), 0o755))
        self.add(File("/etc/passwd", _USERS.encode()))
        self.add(File("/etc/group", _GROUPS.encode()))
        self.add(File("/etc/hosts", b"127.0.0.1 localhost lab\n::1 localhost\n"))
        self.add(Symlink("/etc/mtab", "/proc/self/mounts"))
        self.add(Symlink("/var", layout.SCRATCH))
        self.add(Symlink("/srv", f"{layout.SCRATCH}/srv"))
        for path in MOUNT_POINTS:
            self.add(Directory(path))

    def _program(self, source: Path, there: str) -> None:
        data = read(source)
        self._native.append(Native(source, there, data))
        self.add(File(there, elf.cut_symbols(data), 0o755))

    def _file(self, source: Path, there: str) -> None:
        if source.suffix == ".so" or ".so." in source.name:
            self._program(source, there)
            return
        data = read(source)
        self.add(File(there, data, 0o755 if source.stat().st_mode & 0o100 else 0o644))
        if source.suffix == ".py":
            folder, _, name = there.rpartition("/")
            pyc = f"{folder}/__pycache__/{name.removesuffix('.py')}.{sys.implementation.cache_tag}.pyc"
            self.add(File(pyc, self._compile(source, there)))

    def _compile(self, source: Path, there: str) -> bytes:
        return compile_module(read(source), there, self._python.magic, self._cache).pyc


def _files(folder: Path, wanted: Callable[[str], bool]) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and wanted(path.relative_to(folder).as_posix()):
            yield path


@cache
def _applets(busybox: Path) -> tuple[str, ...]:
    return tuple(subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True, timeout=10).stdout.split())
