"""The CPython that goes into the image: the one that runs squib, described as a value.

A virtual environment's interpreter is the one it was made from. Nothing here depends on the environment's variables.
"""

from __future__ import annotations

import _imp
import importlib.machinery
import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from squib.errors import UnavailableError

__all__ = ["Interpreter", "running", "sysconfig_data"]

_SYSCONFIG_DATA = "_PYTHON_SYSCONFIGDATA_NAME"
"""Who builds for another machine sets it; no guest has it."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """`short_version` is `3.N`; `search_path` are the folders of installed packages, in the order of sys.path.

    `builtin` are modules within the binary itself, `frozen` those whose byte code is; `suffixes` end names of C extensions,
    `cache_tag` is in those of byte code that lies in a `__pycache__`.
    """

    binary: Path
    version: str
    short_version: str
    stdlib: Path
    dynload: Path
    suffixes: tuple[str, ...]
    builtin: frozenset[str]
    frozen: frozenset[str]
    magic: bytes
    cache_tag: str
    search_path: tuple[Path, ...]


def running() -> Interpreter:
    """The interpreter of this process. Raises UnavailableError where it is not a CPython that can be copied."""
    # What a venv's python was made from; typeshed has it only since it got documented.
    base = getattr(sys, "_base_executable", None) or sys.executable
    if sys.implementation.name != "cpython" or not base:
        raise UnavailableError(
            "squib copies the CPython that runs it, and this is none",
            hint="run squib with the distribution's python3: sudo apt-get install python3-venv",
        )
    short = f"{sys.version_info.major}.{sys.version_info.minor}"
    # os is frozen, and its __file__ tells where the library was found. Not base_prefix/lib: distributions differ.
    stdlib = Path(os.path.realpath(os.__file__)).parent
    # Unless told otherwise, CPython puts the program's own folder first (with -m: the working folder). It holds no packages,
    # and what lies there by chance must not get into an image.
    folders = sys.path if sys.flags.safe_path else sys.path[1:]
    inside = {os.path.realpath(folder) for folder in (stdlib, stdlib / "lib-dynload")}
    return Interpreter(
        binary=Path(os.path.realpath(base)),
        version=sys.version.split()[0],
        short_version=short,
        stdlib=stdlib,
        dynload=Path(sys.base_exec_prefix, sys.platlibdir, f"python{short}", "lib-dynload"),
        suffixes=tuple(importlib.machinery.EXTENSION_SUFFIXES),
        builtin=frozenset(sys.builtin_module_names),
        frozen=frozenset(_imp._frozen_module_names()),  # type: ignore[attr-defined]  # noqa: SLF001 - the only list, not in typeshed
        magic=importlib.util.MAGIC_NUMBER,
        cache_tag=str(sys.implementation.cache_tag),
        search_path=tuple(
            Path(folder)
            for folder in folders
            if folder and os.path.isdir(folder) and os.path.realpath(folder) not in inside  # noqa: PTH112
        ),
    )


def sysconfig_data() -> str:
    """The module with what `sysconfig` tells, which it imports by this name: distributions differ in how they make it up."""
    import sysconfig

    told = os.environ.pop(_SYSCONFIG_DATA, None)
    try:
        return str(sysconfig._get_sysconfigdata_name())  # type: ignore[attr-defined]  # noqa: SLF001 - the only way to know it
    finally:
        if told is not None:
            os.environ[_SYSCONFIG_DATA] = told
