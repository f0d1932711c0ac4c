"""The programs and headers that compile a kernel: all there, or one error with the command that installs what is missing."""

from __future__ import annotations

import hashlib
from pathlib import Path

from squib.errors import HostError, UnavailableError
from squib.host import command
from squib.host.files import storage_errors
from squib.model.image import InputRecord

__all__ = ["ENVIRONMENT", "compiler_inputs", "missing_packages", "require"]

# Nothing of the caller's: CFLAGS, ARCH, MAKEFLAGS or a locale would change the bytes. The names are those of
# Documentation/kbuild/kbuild.rst and reproducible-builds.rst; LOCALVERSION is empty, so that no git tree around it is asked.
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C",
    "TZ": "UTC",
    "ARCH": "x86_64",
    "LOCALVERSION": "",
    "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 1970",
    "KBUILD_BUILD_VERSION": "1",
    "KBUILD_BUILD_USER": "squib",
    "KBUILD_BUILD_HOST": "squib",
}

_PROGRAMS = {"bc": "bc", "bison": "bison", "flex": "flex", "gcc": "gcc", "ld": "binutils", "make": "make", "xz": "xz-utils"}
"""Program → the Debian package that holds it."""

_HEADERS = {"stdio.h": "libc6-dev", "gelf.h": "libelf-dev"}
_ASK_S = 60


def missing_packages() -> tuple[str, ...]:
    """The Debian packages that are needed to compile a kernel and are not here, by what they would bring."""
    missing = []
    for program, package in _PROGRAMS.items():
        try:
            command.find(program, package=package)
        except UnavailableError:
            missing.append(package)
    if "gcc" in missing:
        return (*missing, *_HEADERS.values())
    return (*missing, *(package for header, package in _HEADERS.items() if not _has_header(header)))


def require() -> None:
    """Raises UnavailableError that names all that is missing."""
    if missing := missing_packages():
        raise UnavailableError(
            f"to compile a kernel this machine lacks {', '.join(missing)}",
            hint=f"sudo apt-get install {' '.join(missing)}",
        )


def compiler_inputs() -> tuple[InputRecord, ...]:
    """What turns the source into bytes: the compiler proper, the assembler and the linker, each with its digest."""
    version = (
        command.run(["env", "gcc", "--version"], env=ENVIRONMENT, timeout=_ASK_S).decode("utf-8", "replace").partition("\n")[0]
    )
    return tuple(_record(name, "" if name != "cc1" else version) for name in ("as", "cc1", "ld"))


def _record(name: str, version: str) -> InputRecord:
    answer = command.run(["env", "gcc", f"-print-prog-name={name}"], env=ENVIRONMENT, timeout=_ASK_S).decode().strip()
    path = Path(answer) if answer.startswith("/") else command.find(answer, package="gcc")
    with storage_errors(path):
        return InputRecord(name, version, hashlib.sha256(path.read_bytes()).hexdigest())


def _has_header(name: str) -> bool:
    try:
        command.run(
            ["env", "gcc", "-E", "-x", "c", "-"], input=f"#include <{name}>\n".encode(), env=ENVIRONMENT, timeout=_ASK_S
        )
    except HostError:
        return False
    return True
