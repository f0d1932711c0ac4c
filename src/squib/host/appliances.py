"""Which appliance is meant: a folder, a file, the name of a packaged one, or what lies in the working folder.

The appliance file is read as a file from outside (`host.untrusted`): beneath the folder that was named, or that of the file.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from squib.errors import ApplianceError, MissingError
from squib.host.files import storage_errors
from squib.host.untrusted import Folder
from squib.model.appliance import Appliance
from squib.model.near import did_you_mean
from squib.wire import appliance_file
from squib.wire.appliance_file import APPLIANCE_TOML, PYPROJECT_TOML

__all__ = ["CLOCK", "MAX_FILE_BYTES", "find_appliance", "packaged"]

CLOCK = "clock"
"""The packaged appliance that squib shows itself with."""

MAX_FILE_BYTES = 128 << 10
"""Of an appliance file; a large project's pyproject.toml has half of that."""

_PACKAGED = Path(__file__).parent.parent / "appliances"


def packaged() -> tuple[str, ...]:
    """The names of the appliances that come with squib."""
    return tuple(sorted(folder.name for folder in _PACKAGED.iterdir() if (folder / APPLIANCE_TOML).is_file()))


def find_appliance(selector: str | None, working_folder: Path) -> Appliance:
    """The appliance that `selector` names.

    None: `appliance.toml` in the working folder, else `[tool.squib]` in its pyproject.toml. A path that exists goes before a
    packaged name. Raises MissingError, ApplianceError, PermissionDeniedError, and HostError where the
    operating system refuses to look.
    """
    path, text = _here(working_folder) if selector is None else _named(selector, working_folder)
    return appliance_file.decode(text, path)


def _here(working_folder: Path) -> tuple[Path, str]:
    found = _in_folder(working_folder)
    if found is None:
        raise MissingError(
            f"there is no appliance in this folder: no {APPLIANCE_TOML}, and no {PYPROJECT_TOML} with [tool.squib]",
            hint=f"squib init writes one here; or name one: a folder, a file, or {CLOCK}, which comes with squib",
        )
    return found


def _named(selector: str, working_folder: Path) -> tuple[Path, str]:
    path = working_folder / selector
    with storage_errors(path):
        is_folder, is_there = path.is_dir(), path.exists()
    if is_folder:
        found = _in_folder(path)
        if found is None:
            raise MissingError(
                f"{path} holds no {APPLIANCE_TOML}, and no {PYPROJECT_TOML} with [tool.squib]",
                hint=f"name another folder; squib init {shlex.quote(selector)} writes an appliance to start from",
            )
        return found
    if is_there:
        return _read(path.parent, path.name)
    if selector in packaged():
        return _read(_PACKAGED / selector, APPLIANCE_TOML)
    raise MissingError(
        f"{selector} is no file or folder, and no appliance of that name comes with squib{did_you_mean(selector, packaged())}",
        hint=f"name a folder, a file, or an appliance that comes with squib: {', '.join(packaged())}",
    )


def _in_folder(path: Path) -> tuple[Path, str] | None:
    with Folder(path) as folder:
        names = [name for name in (APPLIANCE_TOML, PYPROJECT_TOML) if folder.holds(name)]
    if APPLIANCE_TOML in names:
        return _read(path, APPLIANCE_TOML)
    if PYPROJECT_TOML in names:
        found = _read(path, PYPROJECT_TOML)
        if appliance_file.has_table(found[1]):
            return found
    return None


def _read(path: Path, name: str) -> tuple[Path, str]:
    """The file `name` in the folder at `path`: where it truly lies, and its text."""
    with Folder(path) as folder:
        data = folder.read(name, max_bytes=MAX_FILE_BYTES, follow=True)
        place = Path(os.path.realpath(path)) / folder.resolve(name)
    try:
        return place, data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ApplianceError(f"{path / name}:{line}: not UTF-8 text") from error
