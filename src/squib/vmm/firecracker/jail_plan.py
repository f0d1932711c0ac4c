"""A machine as it is in a jail: which of the host's files go in, by which names, and the jailer's command line. Pure.

In the jail Firecracker works in its root, so a short relative name does for all that is there (Firecracker's docs/jailer.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from squib.model.jail import Jail
from squib.wire.firecracker.resources import FullVmConfiguration

__all__ = ["VSOCK", "Carried", "argv", "inside", "root"]

_S = TypeVar("_S", bound=msgspec.Struct)

VSOCK = "vsock.sock"


@dataclass(frozen=True, slots=True)
class Carried:
    """The host's file `source` is `name` in the jail. `written`: Firecracker writes it, so it must be that very file."""

    source: str
    name: str
    written: bool = False


def root(base: Path, program: Path, jail_id: str) -> Path:
    """The folder that the jailer makes below `base`, and that is the jail's root."""
    return base / program.name / jail_id / "root"


def argv(
    jail: Jail, arguments: tuple[str, ...], *, jailer: Path, program: Path, base: Path, netns: str | None
) -> tuple[str, ...]:
    """The jailer's command line, which becomes `program` with `arguments`; those have no `--id`: the jailer adds it."""
    return (
        *(str(jailer), "--id", jail.id, "--exec-file", str(program), "--uid", str(jail.uid), "--gid", str(jail.gid)),
        *("--chroot-base-dir", str(base), "--cgroup-version", "2"),
        *(("--parent-cgroup", jail.parent_cgroup) if jail.limits else ()),
        *(word for name, value in jail.limits for word in ("--cgroup", f"{name}={value}")),
        *(() if netns is None else ("--netns", netns)),
        *("--", *arguments),
    )


def inside(machine: FullVmConfiguration) -> tuple[FullVmConfiguration, tuple[Carried, ...]]:
    """The machine in the jail's names, and the files that it needs there."""
    files: list[Carried] = []

    def renamed(resource: _S, field: str, name: str, *, written: bool = False) -> _S:
        source = getattr(resource, field)
        if source is None:
            return resource
        files.append(Carried(source, name, written))
        return msgspec.structs.replace(resource, **{field: name})

    boot = renamed(renamed(machine.boot_source, "kernel_image_path", "vmlinux"), "initrd_path", "initrd")
    drives = tuple(
        renamed(
            renamed(drive, "path_on_host", f"drive-{drive.drive_id}", written=not drive.is_read_only),
            "socket",
            f"drive-{drive.drive_id}.sock",
            written=True,
        )
        for drive in machine.drives
    )
    logger, metrics, vsock = machine.logger, machine.metrics, machine.vsock
    within = msgspec.structs.replace(
        machine,
        boot_source=boot,
        drives=drives,
        logger=None if logger is None else renamed(logger, "log_path", "firecracker.log", written=True),
        metrics=None if metrics is None else renamed(metrics, "metrics_path", "metrics", written=True),
        # Firecracker makes it, in the jail.
        vsock=None if vsock is None else msgspec.structs.replace(vsock, uds_path=VSOCK),
    )
    return within, tuple(files)
