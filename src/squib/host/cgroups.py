"""Cgroups, version 2 (Documentation/admin-guide/cgroup-v2.rst): whether this host has them, and how one goes away again."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from pathlib import Path

from squib.errors import HostError, UnavailableError
from squib.host.files import storage_errors

__all__ = ["CONTROLLERS", "check", "exists", "find", "remove", "remove_parent"]

CONTROLLERS = ("cpu", "memory", "pids")
"""What the limits of a jail are of."""

_MOUNTS = Path("/proc/self/mounts")
_PATIENCE_S = 5.0
_LOOK_S = 0.005


def find(mounts: Path = _MOUNTS) -> Path | None:
    """Where cgroup v2 is mounted with all of CONTROLLERS; None where it is not, or where version 1 has taken them."""
    with storage_errors(mounts):
        lines = [line.split() for line in mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()]
    for _, where, kind, *_ in lines:
        if kind == "cgroup2" and set(CONTROLLERS) <= _controllers(Path(where)):
            return Path(where)
    return None


def check(without: str, mounts: Path = _MOUNTS) -> None:
    """Raises UnavailableError where a jail's limits cannot be set. `without`: how to do without them."""
    if find(mounts) is None:
        raise UnavailableError(
            f"this host has no cgroup v2 with {', '.join(CONTROLLERS)}, so the jailer cannot limit a machine",
            hint=f"boot it with systemd.unified_cgroup_hierarchy=1; or {without}",
        )


def exists(parent: str, name: str, mounts: Path = _MOUNTS) -> bool:
    """Whether there is a cgroup `parent`/`name`."""
    top = find(mounts)
    return top is not None and (top / parent / name).is_dir()


def remove(parent: str, name: str, mounts: Path = _MOUNTS) -> None:
    """Ends what still runs in the cgroup `parent`/`name`, and removes it. Gone is fine.

    Raises HostError where something in it does not end.
    """
    top = find(mounts)
    if top is None:
        return
    folder = top / parent / name
    _kill(folder)
    deadline = time.monotonic() + _PATIENCE_S
    while not _removed(folder):
        if time.monotonic() >= deadline:
            raise HostError(f"the cgroup {folder} stays: something in it runs on", hint=f"see what: cat {folder}/cgroup.procs")
        time.sleep(_LOOK_S)


def remove_parent(parent: str, mounts: Path = _MOUNTS) -> None:
    """Removes the cgroup `parent` where nothing is in it. To be called while nobody makes one in it."""
    top = find(mounts)
    if top is not None:
        with contextlib.suppress(OSError):  # gone; or somebody else's is in it
            (top / parent).rmdir()


def _kill(folder: Path) -> None:
    try:
        descriptor = os.open(folder / "cgroup.kill", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:  # it has gone, or the kernel is older than 5.14: what is in it was ended before
        return
    with contextlib.suppress(OSError):  # it goes this moment
        os.write(descriptor, b"1")
    os.close(descriptor)


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno == errno.EBUSY:  # what was killed is still on its way out
            return False
        raise HostError(f"the cgroup {folder} cannot be removed: {error.strerror}") from error
    return True


def _controllers(top: Path) -> set[str]:
    try:
        return set((top / "cgroup.controllers").read_text(encoding="ascii").split())
    except OSError:
        return set()
