"""The machine that a result is from, and the versions of what was measured."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from bench.problem import Problem

ROOT = Path(__file__).resolve().parent.parent


class Machine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cores` that could be used, `versions` by program; `commit` of the checkout, with + where it was changed."""

    cpu: str
    cores: int
    memory_mib: int
    kernel: str
    system: str
    python: str
    commit: str
    versions: dict[str, str]


def describe(programs: Mapping[str, Sequence[str]]) -> Machine:
    """This machine; `programs` is what prints a version, by name. Raises Problem where one is not installed."""
    return Machine(
        cpu=_after("/proc/cpuinfo", "model name"),
        cores=len(os.sched_getaffinity(0)),
        memory_mib=int(_after("/proc/meminfo", "MemTotal").split()[0]) // 1024,
        kernel=platform.release(),
        system=platform.freedesktop_os_release().get("PRETTY_NAME", "Linux"),
        python=platform.python_version(),
        commit=_commit(),
        versions={name: _version(argv) for name, argv in programs.items()},
    )


def _version(argv: Sequence[str]) -> str:
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    except FileNotFoundError:
        raise Problem(f"{argv[0]} is not installed; tools/setup bench installs it") from None
    found = re.search(r"\d+\.\d+[\w.+-]*", done.stdout)
    return found.group() if found else "unknown"


def _commit() -> str:
    argv = ("git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+")
    try:
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    except FileNotFoundError:
        return "unknown"


def _after(path: str, label: str) -> str:
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == label:
            return value.strip()
    return "unknown 0"
