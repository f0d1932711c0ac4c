"""The files of a machine as its VMM opens them: those that squib holds open by their descriptors, all others by their names.

A name may lead to another file by the time a VMM opens it; a descriptor leads to the one that was hashed. The VMM inherits it,
and opens it anew by /proc/self/fd/N (proc(5)), which takes the same rights as its name.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from squib.model.machine import Drive, MachineConfig

__all__ = ["by_descriptor", "held_by_us"]


def by_descriptor(config: MachineConfig) -> tuple[MachineConfig, tuple[int, ...]]:
    """`config` with what it holds named by descriptor, for a process that inherits these."""
    held = {path: file.fileno() for path, file in config.held}

    def where(path: Path) -> Path:
        return Path(f"/proc/self/fd/{held[path]}") if path in held else path

    def drive(one: Drive) -> Drive:
        return replace(one, host_path=where(one.host_path))

    named = replace(
        config,
        kernel=where(config.kernel),
        initrd=None if config.initrd is None else where(config.initrd),
        drives=tuple(drive(one) for one in config.drives),
    )
    return named, tuple(held.values())


def held_by_us(config: MachineConfig, path: Path) -> Path:
    """How another process of this user opens the file of `config` that is called `path`, as long as this one runs."""
    held = next((file for name, file in config.held if name == path), None)
    return path if held is None else Path(f"/proc/{os.getpid()}/fd/{held.fileno()}")
