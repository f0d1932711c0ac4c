"""The folder of one running machine: what the VMMs' files in it are called, and how it goes away."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from squib.errors import SquibError
from squib.host.files import storage_errors
from squib.host.process import Handle, working_in
from squib.host.rotation import rotate

__all__ = ["CONSOLE", "CONSOLE_MAX_BYTES", "clear_run_dir", "end_in_run_dir", "is_full", "make_run_dir", "rotate_console"]

CONSOLE = "console.log"
"""What the guest's first serial port writes; its older pieces are console.log.1 and so on (host.rotation)."""

CONSOLE_MAX_BYTES = 16 << 20
"""As long as it gets when no squib looks; what comes then is lost until one does (docs/decisions/0009)."""
_PIECE_BYTES = 4 << 20
"""Whenever a squib looks, what is longer is cut."""
_PIECES = 3
_LOST = b"\r\nsquib: the console was full: lines are lost here\r\n"


def make_run_dir(run_dir: Path) -> Path:
    """Makes the folder (0700) with an empty console file (0600), and returns that. Raises StorageError where it is there."""
    console = run_dir / CONSOLE
    with storage_errors(run_dir):
        run_dir.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        run_dir.mkdir(mode=0o700)
        os.close(os.open(console, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    return console


def rotate_console(console: Path) -> None:
    """Makes room in a console that has grown long. Nothing happens where that cannot be: the disk is full, or it is gone."""
    with contextlib.suppress(SquibError):
        full = is_full(console)
        if rotate(console, over=_PIECE_BYTES, keep=_PIECES) and full:
            with storage_errors(console), console.open("ab") as file:
                file.write(_LOST)


def is_full(console: Path) -> bool:
    """Whether it may lack what the guest said last. Raises MissingError and its like."""
    with storage_errors(console):
        return console.stat().st_size >= CONSOLE_MAX_BYTES


def clear_run_dir(run_dir: Path) -> None:
    """Ends what still runs in a run folder, known by its working folder only, and removes the folder. Gone is fine.

    Raises HostError where a process does not end, PermissionDeniedError and its like where the folder stays.
    """
    end_in_run_dir(run_dir)
    with storage_errors(run_dir):
        while run_dir.is_dir():
            with contextlib.suppress(FileNotFoundError):  # another squib is at it too
                shutil.rmtree(run_dir)


def end_in_run_dir(run_dir: Path) -> None:
    """Ends what still runs in a run folder and leaves its files. Raises HostError where a process does not end."""
    for identity in working_in(run_dir):
        process = Handle.open(identity)
        if process is not None:
            with process:
                process.end()
