"""The kernel's source from the distribution: the package `linux-source`, followed to the one with the version in its name.

Debian's holds a .tar.xz, Ubuntu's a .tar.bz2; what no x86 virtual machine is made of stays packed (some 800 MB).
"""

from __future__ import annotations

import re
from pathlib import Path

from squib.build import apt
from squib.build.apt import Package
from squib.errors import ApplianceError, UnavailableError
from squib.host import command
from squib.host.files import storage_errors

__all__ = ["find", "unpack"]

_NAME = "linux-source"
_VERSIONED = re.compile(r"linux-source-[0-9][0-9a-z.+-]*")
_UNPACK_S = 1800

_OTHER_PROCESSORS = ("arm", "arm64", "loongarch", "m68k", "mips", "powerpc", "riscv", "s390", "sh", "sparc")
_OTHER_DRIVERS = ("gpu", "infiniband", "media", "net/ethernet", "net/wireless", "scsi", "staging")
# Only code: kconfig reads the Kconfig files of everything.
_LEFT_OUT = (
    *(f"*/arch/{name}/*.{kind}" for name in _OTHER_PROCESSORS for kind in ("[chS]", "dts", "dtsi")),
    *(f"*/drivers/{name}/*.[ch]" for name in _OTHER_DRIVERS),
    "*/sound/*.[ch]",
    "*/Documentation/*.rst",
    "*/Documentation/*.yaml",
    "*/tools/perf/*",
    "*/tools/testing/*",
)


def find() -> Package:
    """The package that apt would take the source from. Raises UnavailableError."""
    package = apt.show(_NAME)
    if package is None:
        raise UnavailableError(f"apt knows no package {_NAME}", hint="sudo apt-get update")
    names = [name for choices in package.depends for name in choices if _VERSIONED.fullmatch(name)]
    found = next((versioned for name in names if (versioned := apt.show(name)) is not None), None)
    if found is None:
        raise UnavailableError(f"the package {_NAME} {package.version} leads to no source", hint="sudo apt-get update")
    return found


def unpack(deb: Path, folder: Path) -> Path:
    """The source tree of the package `deb`, in a new folder below `folder`; `deb` is removed on the way."""
    shell, tree = folder / "package", folder / "linux"
    command.run(["dpkg-deb", "-x", deb, shell], timeout=_UNPACK_S, package="dpkg")
    archive = next((path for path in sorted(shell.rglob("linux-source-*.tar.*")) if path.is_file()), None)
    if archive is None:
        raise ApplianceError(f"the package {deb.name} holds no source of a kernel", hint="sudo apt-get update, and try again")
    with storage_errors(tree):
        deb.unlink()
        tree.mkdir()
    left_out = [f"--exclude={pattern}" for pattern in _LEFT_OUT]
    line: list[command.Argument] = [
        "tar",
        "-x",
        "--strip-components=1",
        "--no-same-owner",
        *left_out,
        "-f",
        archive,
        "-C",
        tree,
    ]
    command.run(line, timeout=_UNPACK_S)
    with storage_errors(archive):
        archive.unlink()
    return tree
