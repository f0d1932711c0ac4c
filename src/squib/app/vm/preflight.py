"""What can be seen to be wrong before Firecracker is started: files, devices, sockets. Looks only; each has its own error.

Firecracker is asked all the same: what is right now may be wrong in a moment, and its reasons are shown then.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
from pathlib import Path

from squib.app.vm.inputs import missing
from squib.app.vm.jailed import JailWish
from squib.errors import (
    ApplianceError,
    MissingError,
    PermissionDeniedError,
    TakenError,
    UnavailableError,
    UsageError,
)
from squib.host import kvm, tap, unix_socket
from squib.host.files import storage_errors
from squib.model.jail import Jail
from squib.vmm.firecracker import binaries
from squib.wire.firecracker.resources import Drive, FullVmConfiguration

__all__ = [
    "absent",
    "check",
    "check_beside",
    "check_id",
    "check_socket_path",
    "find_firecracker",
    "find_program",
]

_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_SUN_PATH = 107
"""Bytes of a Unix socket's path, without the NUL (unix(7)): Firecracker binds it as it is."""
_ELF = b"\x7fELF\x02\x01"
_BZIMAGE = (0x202, b"HdrS")
"""Documentation/arch/x86/boot.rst, header_magic."""


def find_firecracker(named: str | None) -> Path:
    """The program: as it was named, else fetched by squib, else from PATH. Raises UnavailableError and its like."""
    if named is None:
        found = binaries.find()
        if found is None:
            raise UnavailableError("Firecracker is not in PATH", hint="squib fetch firecracker, or --firecracker-binary PATH")
        return found.path
    return find_program("Firecracker", named)


def find_program(what: str, named: str) -> Path:
    """The program `what` as it was named; a word is looked up in PATH. Raises MissingError and its like."""
    if "/" not in named and (in_path := shutil.which(named)) is not None:
        return Path(in_path)
    path = Path(named).absolute()
    with storage_errors(path):
        if not path.exists():
            raise missing(f"{what} binary", named)
    if path.is_dir():
        raise UsageError(f"the {what} binary {named} is a folder")
    if not os.access(path, os.X_OK):
        raise PermissionDeniedError(f"the {what} binary {named} may not be run", hint=f"chmod +x {shlex.quote(named)}")
    return path


def check_id(name: str) -> None:
    """Raises UsageError for what Firecracker does not take as `--id`."""
    if not _ID.fullmatch(name):
        raise UsageError(f"{name!r} cannot be an id", hint="1 to 64 letters, digits and -")


def check_socket_path(what: str, path: str) -> None:
    """Whether Firecracker can make its socket there. Raises UsageError, TakenError, MissingError and its like."""
    if len(os.fsencode(path)) > _SUN_PATH:
        raise UsageError(f"the path of {what} is longer than {_SUN_PATH} bytes: {path}", hint="choose a shorter one")
    where = Path(path)
    with storage_errors(where):
        if not os.path.lexists(path):
            _check_folder(what, where)
            return
        if not stat.S_ISSOCK(where.lstat().st_mode):
            raise TakenError(f"{path} is there already, and is no socket: it cannot be {what}", hint="choose another path")
    if _answers(where):
        raise TakenError(f"{path} is another running machine's: it cannot be {what}", hint="choose another path")
    raise TakenError(f"{path} was left behind, and nobody listens there", hint=f"rm {shlex.quote(path)}")


def _check_folder(what: str, path: Path) -> None:
    folder = path.absolute().parent
    if not folder.is_dir():
        raise MissingError(f"the folder of {what} is not there: {folder}", hint=f"mkdir -p {shlex.quote(str(folder))}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionDeniedError(f"this user may not make {what} in {folder}", hint="choose another path")


def _answers(path: Path) -> bool:
    try:
        unix_socket.connect(path, 1.0).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return False
    except OSError:  # another user's, or a busy one: not ours to call dead
        return True
    return True


def absent(machine: FullVmConfiguration) -> tuple[tuple[str, str], ...]:
    """The files that the configuration names and that are not here: what each is, and its path. Never raises."""
    source = machine.boot_source
    named = [("kernel", source.kernel_image_path), ("initrd", source.initrd_path)]
    named += [(f"drive {drive.drive_id},", drive.path_on_host) for drive in machine.drives]
    return tuple((what, path) for what, path in named if path is not None and not os.path.exists(path))  # noqa: PTH110 - as above


def check_beside(machine: FullVmConfiguration, configuration: Path) -> None:
    """Raises MissingError where a file is not here but beside the `configuration` that names it."""
    folder = configuration.parent
    for what, path in absent(machine):
        if not os.path.isabs(path) and os.path.exists(folder / path):  # noqa: PTH110, PTH117 - as above
            raise MissingError(
                f"the {what} {path} is not there: the paths of a configuration start from the working folder",
                hint=f"start it where they lead: cd {shlex.quote(str(folder))}, and --config {shlex.quote(configuration.name)}",
            )


def check(machine: FullVmConfiguration, *, jail: JailWish | None = None) -> None:
    """All that the configuration names on this host, and KVM; `jail`: it will be in one. Raises SquibError."""
    source = machine.boot_source
    _check_kernel(source.kernel_image_path)
    if source.initrd_path is not None:
        _check_file("initrd", source.initrd_path)
    for drive in machine.drives:
        _check_drive(drive)
    for interface in machine.network_interfaces:
        tap.check(interface.host_dev_name, jail=None if jail is None else Jail("", jail.uid, jail.gid))
    if machine.vsock is not None and jail is None:
        check_socket_path("the vsock's socket", machine.vsock.uds_path)
    if machine.logger is not None and machine.logger.log_path is not None:
        _check_target("log", machine.logger.log_path)
    if machine.metrics is not None:
        _check_target("metrics file", machine.metrics.metrics_path)
    _check_kvm()


def _check_kernel(path: str) -> None:
    _check_file("kernel", path)
    with storage_errors(Path(path)), Path(path).open("rb") as file:
        head = file.read(0x210)
    if head.startswith(_ELF):
        return
    offset, magic = _BZIMAGE
    if head[offset : offset + len(magic)] == magic:
        raise ApplianceError(
            f"{path} is a bzImage, and Firecracker takes the ELF vmlinux that is packed in it",
            hint=f"squib build clock --kernel {shlex.quote(path)} -o out leaves it as out/vmlinux",
        )
    raise ApplianceError(f"{path} is no kernel that Firecracker could load", hint="it takes an ELF vmlinux for x86-64")


def _check_drive(drive: Drive) -> None:
    if drive.socket is not None:
        if not os.path.exists(drive.socket):  # noqa: PTH110 - no error for a folder that may not be searched
            raise missing(f"vhost-user socket of drive {drive.drive_id},", drive.socket)
    elif drive.path_on_host is not None:
        _check_file(f"drive {drive.drive_id},", drive.path_on_host, written=not drive.is_read_only)


def _check_file(what: str, path: str, *, written: bool = False) -> None:
    with storage_errors(Path(path)):
        try:
            mode = Path(path).stat().st_mode
        except FileNotFoundError as error:
            raise missing(what, path) from error
        except ValueError as error:  # a NUL
            raise UsageError(f"the {what} {path!a} is no path") from error
    if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
        raise UsageError(f"the {what} {path} is no file")
    if not os.access(path, os.R_OK):
        raise PermissionDeniedError(f"the {what} {path} may not be read by this user", hint=f"ls -l {shlex.quote(path)}")
    if written and not os.access(path, os.W_OK):
        raise PermissionDeniedError(
            f"the {what} {path} may not be written by this user",
            hint=f"let the guest only read it ({path}:ro), or see who may: ls -l {shlex.quote(path)}",
        )


def _check_target(what: str, path: str) -> None:
    """Firecracker opens its log and its metrics for reading and writing, and makes neither."""
    with storage_errors(Path(path)):
        mode = Path(path).stat().st_mode
    if stat.S_ISDIR(mode):
        raise UsageError(f"the {what} {path} is a folder")
    if not os.access(path, os.R_OK | os.W_OK):
        raise PermissionDeniedError(f"the {what} {path} may not be written by this user", hint=f"ls -l {shlex.quote(path)}")


def _check_kvm() -> None:
    device = kvm.look()
    if device.problem:
        kind = PermissionDeniedError if "setfacl" in device.hint else UnavailableError
        raise kind(f"Firecracker needs KVM: {device.problem}", hint=device.hint or "squib doctor")
