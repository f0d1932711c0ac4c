"""The drop: an appliance with all that boots it, in a folder that goes to a host with nothing of squib.

The rule: nothing appears in the folder before all is ready beside it; `run.sh` is taken away first and comes last, so a drop
that was cut off cannot be run.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from msgspec import structs

from squib.app.building import Building
from squib.build.artifact import write_artifact
from squib.errors import UnavailableError
from squib.formats import elf
from squib.host.files import made_for, publish, staging, storage_errors
from squib.model.appliance import Appliance
from squib.model.drop import FIRECRACKER, KERNEL, RUN, VM, Drop, DropNetwork
from squib.model.image import INITRD, ROOTFS, Artifact, FileRecord
from squib.model.machine import VmmKind
from squib.model.progress import Progress
from squib.model.run import RunSpec
from squib.vmm.firecracker.configuration import configuration
from squib.vmm.plan import machine_config
from squib.wire.firecracker import vm_json
from squib.wire.firecracker.resources import FullVmConfiguration

__all__ = ["Dropping"]

_RUN_SH = f"""#!/bin/sh
CDPATH= cd -- "$(dirname -- "$0")" || exit
exec ./{FIRECRACKER} --no-api --config-file {VM} "$@"
"""


@dataclass(frozen=True, slots=True)
class Dropping:
    """`firecracker` finds the one to give away."""

    building: Building
    firecracker: Callable[[], Path]

    def drop(self, appliance: Appliance, folder: Path, network: DropNetwork, report: Progress) -> Drop:
        """Writes the files. Raises SquibError, and then `folder` is as it was."""
        firecracker = self._firecracker()
        plan = self.building.plan(appliance, report)
        with made_for(folder), staging(folder) as work:
            artifact = write_artifact(plan, work / "artifact", report)
            report("putting the drop together", None)
            with storage_errors(folder):
                made = work / "drop"
                made.mkdir()
                _fill(made, artifact, firecracker)
                (made / VM).write_bytes(vm_json.encode(_machine(artifact, network)))
                (made / RUN).write_text(_RUN_SH, encoding="ascii")
                for path in made.iterdir():
                    path.chmod(_mode(path.name, closed=plan.closed))
                records = tuple(_record(path) for path in sorted(made.iterdir()))
                (folder / RUN).unlink(missing_ok=True)
                for name in sorted((record.name for record in records), key=lambda name: name == RUN):
                    publish(made / name, folder / name)
                if INITRD not in {record.name for record in records}:
                    (folder / INITRD).unlink(missing_ok=True)
        return Drop(folder, records, network)

    def _firecracker(self) -> bytes:
        path = self.firecracker()
        with storage_errors(path):
            data = path.read_bytes()
        another = "squib fetch firecracker gets one that runs everywhere"
        try:
            needs = elf.read_linking(data).interpreter
        except ValueError as error:
            raise UnavailableError(f"{path} is no program that another host could run", hint=another) from error
        if needs:
            raise UnavailableError(f"{path} needs shared libraries, which another host may not have", hint=another)
        return data


def _mode(name: str, *, closed: bool) -> int:
    if name in {FIRECRACKER, RUN}:
        return 0o755
    return 0o600 if closed and name == ROOTFS else 0o644


def _fill(made: Path, artifact: Artifact, firecracker: bytes) -> None:
    (made / FIRECRACKER).write_bytes(firecracker)
    shutil.move(artifact.rootfs, made / ROOTFS)
    shutil.move(artifact.vmlinux, made / KERNEL)
    if artifact.initrd is not None:
        shutil.move(artifact.initrd, made / INITRD)


def _machine(artifact: Artifact, network: DropNetwork) -> FullVmConfiguration:
    """The machine as `squib run` would boot it, but with paths beside the file, and no metrics: nobody reads them there."""
    wish = RunSpec(vmm=VmmKind.FIRECRACKER, tap=(network.tap, network.guest_mac), guest_ip=network.guest_ip)
    config = machine_config(artifact, wish, artifact.manifest.appliance.name)
    config = replace(
        config,
        kernel=Path(KERNEL),
        initrd=None if config.initrd is None else Path(INITRD),
        drives=tuple(replace(drive, host_path=Path(drive.host_path.name)) for drive in config.drives),
    )
    return structs.replace(configuration(config), metrics=None)


def _record(path: Path) -> FileRecord:
    data = path.read_bytes()
    return FileRecord(path.name, len(data), hashlib.sha256(data).hexdigest())
