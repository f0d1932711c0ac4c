"""Looking at a machine: what is stored of it, and what can be seen of it now. Nothing is changed by looking.

A machine may end or be removed while it is looked at; then what cannot be seen any more is None, and that is no error.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from squib.build.opening import read_manifest
from squib.errors import ApplianceError, SquibError
from squib.formats.console_lines import find
from squib.host.process import ProcessIdentity, alive, owner
from squib.host.process_usage import ProcessUsage, age_s, usage
from squib.host.rotation import last_lines
from squib.host.untrusted import Folder
from squib.model.image import FileRecord
from squib.model.machine import VmState
from squib.model.run import RunSpec
from squib.store import Machine
from squib.vmm.guest_report import GuestReport, summary
from squib.vmm.readiness import Readiness, readiness
from squib.vmm.run_dir import CONSOLE, jail_root, way_out
from squib.wire import manifest, run_spec

__all__ = ["Image", "ImageState", "Inspection", "Jailed", "Observation", "WayOutState", "inspect", "observe"]

_LOOKED_AT = 1 << 20
"""Bytes at the end of a console."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What takes no time to see: whether it serves now, and for how many seconds its VMM has run (None where it does not)."""

    readiness: Readiness
    uptime_s: float | None


class ImageState(StrEnum):
    """Whether the image that a machine was started from is still there; `restart` needs it PRESENT.

    UNREADABLE: it is the same, but of a squib whose manifests this one does not know.
    """

    PRESENT = "present"
    CHANGED = "changed"
    UNREADABLE = "unreadable"
    GONE = "gone"


class WayOutState(StrEnum):
    """Whether what connects a machine's network to the host still does; where it ended, only a restart brings it back."""

    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Image:
    """The artifact that a machine was started from; `files` is empty unless it is PRESENT."""

    folder: Path | None
    manifest_digest: str
    state: ImageState
    files: tuple[FileRecord, ...]


@dataclass(frozen=True, slots=True)
class Jailed:
    """The user that a VMM is, and the folder that it has for its root."""

    uid: int
    root: Path


@dataclass(frozen=True, slots=True)
class Inspection:
    """All that is known of a machine. `spec` is what was asked for, None where an older squib did not keep it.

    `guest` is what its console tells, as far back as it is looked at. `way_out`: of a network in namespaces; None: it has none.
    `jail`: that of its VMM, while that runs in one.
    """

    machine: Machine
    observed: Observation
    spec: RunSpec | None
    usage: ProcessUsage | None
    image: Image
    console: Path
    guest: GuestReport
    way_out: WayOutState | None = None
    jail: Jailed | None = None


def observe(machine: Machine) -> Observation:
    """A look at `machine`."""
    process = machine.process
    if machine.over or process is None or not alive(process):
        return Observation(Readiness(ready=False, because="it does not run"), None)
    match machine.state:
        case VmState.STARTING:
            ready = Readiness(ready=False, because="it is being started")
        case VmState.STOPPING:
            ready = Readiness(ready=False, because="it is being stopped")
        case _:
            try:
                ready = readiness(machine.run_dir / CONSOLE)
            except SquibError:  # its squib just cleaned up
                ready = Readiness(ready=False, because="its console is gone")
    return Observation(ready, age_s(process))


def inspect(machine: Machine) -> Inspection:
    """A close look at `machine`. Raises StorageError where what is stored of it is damaged."""
    seen = observe(machine)
    return Inspection(
        machine=machine,
        observed=seen,
        spec=run_spec.decode(machine.run_spec) if machine.run_spec else None,
        usage=None if machine.process is None or seen.uptime_s is None else usage(machine.process),
        image=_image(machine),
        console=machine.run_dir / CONSOLE,
        guest=_told(machine.run_dir / CONSOLE),
        way_out=None if seen.uptime_s is None else _way_out(machine.run_dir),
        jail=None if machine.process is None or seen.uptime_s is None else _jail(machine.process, machine.run_dir),
    )


def _way_out(run_dir: Path) -> WayOutState | None:
    identity = way_out(run_dir)
    if identity is None:
        return None
    return WayOutState.RUNNING if alive(identity) else WayOutState.ENDED


def _jail(process: ProcessIdentity, run_dir: Path) -> Jailed | None:
    root = jail_root(run_dir)
    uid = owner(process)
    return None if root is None or uid is None else Jailed(uid, root)


def _told(console: Path) -> GuestReport:
    """What the guest tells of its server, as far as the end of its console goes back."""
    try:
        return summary(find(last_lines(console, _LOOKED_AT)))
    except SquibError:  # its squib just cleaned up
        return GuestReport()


def _image(machine: Machine) -> Image:
    state = ImageState.GONE
    files: tuple[FileRecord, ...] = ()
    if machine.artifact is not None:
        data = b""
        with contextlib.suppress(SquibError), Folder(machine.artifact) as place:
            data = read_manifest(place)
        if data:
            state = ImageState.CHANGED
        if hashlib.sha256(data).hexdigest() == machine.manifest_digest:
            state, files = _read(data, machine.artifact)
    return Image(machine.artifact, machine.manifest_digest, state, files)


def _read(data: bytes, folder: Path) -> tuple[ImageState, tuple[FileRecord, ...]]:
    try:
        return ImageState.PRESENT, manifest.decode(data, folder).files
    except ApplianceError:
        return ImageState.UNREADABLE, ()
