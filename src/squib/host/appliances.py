"""Which appliance is meant: a folder, a file, the name of a packaged one, or what lies in the working folder.

The appliance file is read as a file from outside (`host.untrusted`): beneath the folder that was named, or that of the file.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from squib.errors import ApplianceError, MissingError
from squib.host.files import storage_errors
from squib.host.untrusted import Folder
from squib.model.appliance import Appliance
from squib.wire import appliance_file
from squib.wire.appliance_file import APPLIANCE_TOML, PYPROJECT_TOML

__all__ = ["DEFAULT", "MAX_FILE_BYTES", "find_appliance", "packaged"]

DEFAULT = "clock"
MAX_FILE_BYTES = 128 << 10
"""Of an appliance file; a large project's pyproject.toml has half of that."""

_PACKAGED = Path(__file__).parent.parent / "appliances"


def packaged() -> tuple[str, ...]:
    """The names of the appliances that come with squib."""
    return tuple(sorted(folder.name for folder in _PACKAGED.iterdir() if (folder / APPLIANCE_TOML).is_file()))


def find_appliance(selector: str | None, working_folder: Path) -> Appliance:
    """The appliance that `selector` names.

    None: `appliance.toml` in the working folder, else `[tool.squib]` in its pyproject.toml, else the clock. A path that
    exists goes before a packaged name. Raises MissingError, ApplianceError, PermissionDeniedError, and HostError where the
    operating system refuses to look.
    """
    if selector is None:
        path, text = _in_folder(working_folder) or _read(_PACKAGED / DEFAULT, APPLIANCE_TOML)
    else:
        path, text = _named(selector, working_folder)
    return appliance_file.decode(text, path)


def _named(selector: str, working_folder: Path) -> tuple[Path, str]:
    path = working_folder / selector
    with storage_errors(path):
        is_folder, is_there = path.is_dir(), path.exists()
    if is_folder:
        found = _in_folder(path)
        if found is None:
            raise MissingError(
                f"{path} holds no {APPLIANCE_TOML}, and no {PYPROJECT_TOML} with [tool.squib]",
                hint="name another folder, or write one",
            )
        return found
    if is_there:
        return _read(path.parent, path.name)
    if selector in packaged():
        return _read(_PACKAGED / selector, APPLIANCE_TOML)
    near = difflib.get_close_matches(selector, packaged(), n=1)
    raise MissingError(
        f"{selector} is no file or folder, and no packaged appliance",
        hint=f"did you mean {near[0]}?" if near else f"packaged: {', '.join(packaged())}",
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
