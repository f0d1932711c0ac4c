"""The folder of one running machine: what the VMMs' files in it are called, and how it goes away.

Where its VMM is jailed, the jail is in it too. So whatever crash comes, who clears the folder clears the jail.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from squib.errors import SquibError
from squib.host.files import storage_errors
from squib.host.process import Handle, ProcessIdentity, parse_identity, working_in, works_in
from squib.host.rotation import rotate
from squib.model.machine import MachineConfig
from squib.wire.namespace_network import WAY_OUT

__all__ = [
    "CONSOLE",
    "CONSOLE_MAX_BYTES",
    "JAIL",
    "check_room",
    "clear_jail",
    "clear_run_dir",
    "end_in_run_dir",
    "end_way_out",
    "file_bytes",
    "is_full",
    "jail_root",
    "make_run_dir",
    "open_vmm",
    "rotate_console",
    "way_out",
]

CONSOLE = "console.log"
"""What the guest's first serial port writes; its older pieces are console.log.1 and so on (host.rotation)."""

CONSOLE_MAX_BYTES = 16 << 20
"""As long as it gets when no squib looks; what comes then is lost until one does (docs/decisions/0009)."""
JAIL = "jail"
"""The folder in which the jailer makes its own: <program>/<id>/root."""
_BOUND = ".bound"
"""Behind the console's name: a file that says the bound in bytes, where it is another one."""
_PIECE_BYTES = 4 << 20
"""Whenever a squib looks, what is longer is cut."""
_PIECES = 3
_WAY_OUT_S = 2.0
_SECTORS = 1 << 12
"""A drive's last sector may be half in its file; a VMM that writes it writes it whole."""
_BLOCK = 1 << 12
_LOST = b"\r\nsquib: the console was full: lines are lost here\r\n"


def make_run_dir(run_dir: Path) -> Path:
    """Makes the folder (0700) with an empty console file (0600), and returns that.

    Raises StorageError where it is there, or where a console could not be written.
    """
    console = run_dir / CONSOLE
    with storage_errors(run_dir):
        run_dir.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        run_dir.mkdir(mode=0o700)
        os.close(os.open(console, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    check_room(run_dir)
    return console


def check_room(run_dir: Path) -> None:
    """Returns where a file in it can still grow. Raises StorageError: a guest's words would be lost, and it seem to be mute."""
    trial = run_dir / ".room"
    with storage_errors(run_dir):
        descriptor = os.open(trial, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, bytes(_BLOCK))
        finally:
            os.close(descriptor)
            trial.unlink(missing_ok=True)


def rotate_console(console: Path) -> None:
    """Makes room in a console that has grown long. Nothing happens where that cannot be: the disk is full, or it is gone."""
    with contextlib.suppress(SquibError):
        full = is_full(console)
        if rotate(console, over=_PIECE_BYTES, keep=_PIECES) and full:
            with storage_errors(console), console.open("ab") as file:
                file.write(_LOST)


def file_bytes(config: MachineConfig, run_dir: Path) -> int:
    """How long a file its VMM may write: what a console may take, or the longest drive that the guest writes.

    The kernel has one such bound for a process (RLIMIT_FSIZE), whichever file it writes; a drive does not grow. The folder
    remembers the bound, so that whoever looks at the console knows when it is full. Raises StorageError and its like.
    """
    bound = max([CONSOLE_MAX_BYTES, *(_size(drive.host_path) for drive in config.drives if not drive.read_only)])
    if bound > CONSOLE_MAX_BYTES:
        with storage_errors(run_dir):
            (run_dir / (CONSOLE + _BOUND)).write_text(str(bound), encoding="ascii")
    return bound


def _size(path: Path) -> int:
    try:
        return -(-path.stat().st_size // _SECTORS) * _SECTORS
    except OSError:  # the VMM will say what is wrong with it
        return 0


def is_full(console: Path) -> bool:
    """Whether it may lack what the guest said last. Raises MissingError and its like."""
    with storage_errors(console):
        try:
            bound = int(console.with_name(console.name + _BOUND).read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            bound = CONSOLE_MAX_BYTES
        return console.stat().st_size >= bound


def clear_run_dir(run_dir: Path) -> None:
    """Ends what still runs in a run folder, known by its working folder only, and removes the folder. Gone is fine.

    Raises HostError where a process does not end, PermissionDeniedError and its like where the folder stays.
    """
    if run_dir.is_symlink():  # none of squib's, and what it leads to even less
        with storage_errors(run_dir):
            run_dir.unlink(missing_ok=True)
        return
    end_in_run_dir(run_dir)
    _remove(run_dir)


def clear_jail(run_dir: Path) -> None:
    """Removes the jail in a run folder, in which nothing runs any more. Gone is fine."""
    _remove(run_dir / JAIL)


def _remove(folder: Path) -> None:
    with storage_errors(folder):
        while folder.is_dir():
            with contextlib.suppress(FileNotFoundError):  # another squib is at it too
                shutil.rmtree(folder)


def open_vmm(identity: ProcessIdentity, run_dir: Path) -> Handle | None:
    """The process that a record says is the VMM of the machine in a run folder, if it runs and works there; else None.

    A record alone is no reason to end a process: it may be damaged, or have been written by somebody else.
    """
    jail = jail_root(run_dir)
    if not works_in(identity, run_dir) and (jail is None or not works_in(identity, jail)):
        return None
    return Handle.open(identity)


def end_in_run_dir(run_dir: Path) -> None:
    """Ends what still runs in a run folder, and in a jail there, and leaves its files.

    Raises HostError where a process does not end.
    """
    jail = jail_root(run_dir)
    for identity in (*working_in(run_dir), *(() if jail is None else working_in(jail))):
        process = Handle.open(identity)
        if process is not None:
            with process:
                process.end()
    end_way_out(run_dir)


def way_out(run_dir: Path) -> ProcessIdentity | None:
    """The process that connects a machine's own network to the host (docs/host.md); None where there is none."""
    try:
        return parse_identity((run_dir / WAY_OUT).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def end_way_out(run_dir: Path) -> None:
    """Waits for its end, which comes with the VMM's, so that its ports are free; ends it where it does not come."""
    identity = way_out(run_dir)
    process = None if identity is None else Handle.open(identity)
    if process is not None:
        with process:
            if not process.wait(_WAY_OUT_S):
                process.kill()


def jail_root(run_dir: Path) -> Path | None:
    """The root of the jail in a run folder, if there is one."""
    return next(run_dir.glob(f"{JAIL}/*/*/root"), None)
