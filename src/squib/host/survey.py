"""What there is on this machine: programs, devices, namespaces, folders, memory. Looks, and judges nothing.

A look may raise what it meets, and takes as long as the machine does: `app.doctor` bounds both.
"""

from __future__ import annotations

import grp
import importlib
import importlib.metadata
import os
import platform
import pwd
import re
import shutil
import stat
import sys
import tempfile
from pathlib import Path

from squib.errors import SquibError, UnavailableError
from squib.host import command, user_namespace
from squib.host.files import existing_parent
from squib.model.findings import (
    DeviceFound,
    FolderFound,
    MemoryFound,
    NamespacesFound,
    PackageFound,
    ProgramFound,
    PythonFound,
    SystemFound,
    User,
)
from squib.model.units import KIB, MIB

__all__ = [
    "PACKAGES",
    "ask_version",
    "device",
    "folder",
    "memory",
    "namespaces",
    "package",
    "permissions",
    "program",
    "python",
    "system",
    "user",
]

PACKAGES = {
    "click": "click",
    "httptools": "httptools",
    "lz4": "lz4",
    "msgspec": "msgspec",
    "packaging": "packaging",
    "pyelftools": "elftools",
    "pyroute2": "pyroute2",
    "pyyaml": "yaml",
    "rich": "rich",
    "zstandard": "zstandard",
}
"""Each of squib's dependencies (pyproject.toml) and the module that it brings."""

_ASK_S = 5.0
_VERSION = re.compile(r"\d+(?:\.\d+)+\S*")

_SETTINGS = (
    "user/max_user_namespaces",
    "kernel/unprivileged_userns_clone",
    "kernel/apparmor_restrict_unprivileged_userns",
)
"""sysctls that can forbid user namespaces: user_namespaces(7), Debian's own, and Ubuntu's (since 23.10)."""


def user() -> User:
    """Who asks; a uid without a name in /etc/passwd goes by its number."""
    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    return User(name, root=uid == 0, has_apt=shutil.which("apt-get") is not None)


def system() -> SystemFound:
    """The host's kernel and distribution."""
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        name = "an unnamed system"
    uname = os.uname()
    return SystemFound(uname.sysname, uname.machine, uname.release, name)


def python() -> PythonFound:
    """This interpreter, and what squib depends on."""
    found = tuple(package(name, module) for name, module in PACKAGES.items())
    return PythonFound(sys.version_info[:3], sys.executable, found)


def package(name: str, module: str) -> PackageFound:
    """A Python package, by the module that it brings."""
    return PackageFound(name, _package_version(name, module))


def _package_version(name: str, module: str) -> str | None:
    try:
        importlib.import_module(module)  # not only looked for: it may be built for another interpreter
    except ImportError:
        return None
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:  # a folder in PYTHONPATH
        return ""


def program(name: str, *, package: str, ask: str = "--version") -> ProgramFound:
    """Finds a program and asks it for its version."""
    try:
        path = command.find(name, package=package)
    except UnavailableError:
        return ProgramFound(name, package, None)
    return ask_version(name, package, path, ask)


def ask_version(name: str, package: str, path: Path, ask: str = "--version") -> ProgramFound:
    """Asks the program at `path` for its version."""
    try:
        said = command.run([path, ask], timeout=_ASK_S).decode("utf-8", "replace")
    except SquibError as error:
        return ProgramFound(name, package, path, problem=f"{error}{f': {error.detail}' if error.detail else ''}")
    version = _VERSION.search(said.partition("\n")[0])
    return ProgramFound(name, package, path, version[0].rstrip("),.") if version else "")


def device(path: Path, *, module: str) -> DeviceFound:
    """Opens a device file for reading and writing, and closes it; `module` is the kernel's module that brings it."""
    problem = hint = ""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK))
    except FileNotFoundError:
        problem, hint = f"there is no {path}", f"sudo modprobe {module}"
    except PermissionError:
        problem, hint = f"this user may not open {path}", f"sudo setfacl -m u:$USER:rw {path}"
    except OSError as error:
        problem, hint = f"{path} does not open: {error.strerror}", f"sudo modprobe {module}"
    return DeviceFound(path, permissions(path), problem, hint)


def permissions(path: Path) -> str:
    """`root:kvm 0660`; empty where it is not there. An ACL shows as a group's permissions (acl(5))."""
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{_name_of_user(found.st_uid)}:{_name_of_group(found.st_gid)} {stat.S_IMODE(found.st_mode):04o}"


def _name_of_user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _name_of_group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def namespaces() -> NamespacesFound:
    """Whether there are any for this user, and what may forbid them."""
    settings = ((name.replace("/", "."), _number(Path("/proc/sys") / name)) for name in _SETTINGS)
    return NamespacesFound(user_namespace.refusal(), tuple((name, value) for name, value in settings if value is not None))


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def folder(purpose: str, path: Path) -> FolderFound:
    """Whether files can be made in `path`, or `path` itself where it is not there yet; leaves nothing behind."""
    nearest = existing_parent(path)
    there = next(one for one in (path, *path.parents) if os.path.lexists(one))
    problem = "" if there == nearest else f"{there} is no folder"
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        problem = os.strerror(error.errno) if error.errno else str(error)
    mode = stat.S_IMODE(path.stat().st_mode) if nearest == path else None
    return FolderFound(purpose, path, nearest, mode, problem, shutil.disk_usage(nearest).free)


def memory(cgroup: Path = Path("/sys/fs/cgroup")) -> MemoryFound:
    """What /proc/meminfo says, or what a container's limit leaves of it (cgroup v2, memory.max)."""
    text = Path("/proc/meminfo").read_text(encoding="ascii")
    sizes = {name: int(number) for name, number in re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE)}
    available, total = sizes["MemAvailable"] // KIB, sizes["MemTotal"] // KIB
    limit, used = _number(cgroup / "memory.max"), _number(cgroup / "memory.current")
    if limit is not None and used is not None:
        available, total = min(available, max(0, limit - used) // MIB), min(total, limit // MIB)
    return MemoryFound(available, total)
