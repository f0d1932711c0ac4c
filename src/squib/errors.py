"""What can go wrong, as values that a person can act on.

Every error says what failed, why, and (`hint`) what to do. Library code raises them; only `squib.cli` prints and exits.

    SquibError                  exit
    ├── UsageError               64   the command line is wrong
    ├── ApplianceError           65   an appliance file, image or manifest is wrong
    ├── MissingError             66   a named file, folder, appliance or machine is not there
    ├── UnavailableError         69   a program, a package or the network is missing
    ├── GuestError               70   the guest crashed, gave up, or never became ready
    ├── HostError                71   the operating system refused something
    ├── StorageError             74   a file could not be written: disk full, read-only, i/o error
    ├── TakenError               75   a name, a port or a file's place is taken
    └── PermissionDeniedError    77   this user may not

The numbers are those of BSD's sysexits.h where one fits. `docs/exit-codes.md` has the whole table; a test holds both
together.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "ApplianceError",
    "GuestError",
    "HostError",
    "MissingError",
    "PermissionDeniedError",
    "SquibError",
    "StorageError",
    "TakenError",
    "UnavailableError",
    "UsageError",
]


class SquibError(Exception):
    """Root of the tree; `str()` is the message, `hint` the remedy, `detail` what to show between both (a console's tail)."""

    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, *, hint: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        self.detail = detail


class UsageError(SquibError):
    """The command line is wrong."""

    exit_code = 64


class ApplianceError(SquibError):
    """An appliance file, an image or a manifest is wrong."""

    exit_code = 65


class MissingError(SquibError):
    """A named file, folder, appliance or machine is not there."""

    exit_code = 66


class UnavailableError(SquibError):
    """A program, a package or the network is missing."""

    exit_code = 69


class GuestError(SquibError):
    """The guest crashed, gave up, or never became ready."""

    exit_code = 70


class HostError(SquibError):
    """The operating system refused something."""

    exit_code = 71


class StorageError(SquibError):
    """A file could not be written."""

    exit_code = 74


class TakenError(SquibError):
    """A name, a port or a file's place is taken."""

    exit_code = 75


class PermissionDeniedError(SquibError):
    """This user may not."""

    exit_code = 77
