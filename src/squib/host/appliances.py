"""Which appliance is meant: a folder, a file, the name of a packaged one, or what lies in the working folder."""

from __future__ import annotations

import shlex
from pathlib import Path

from squib.errors import ApplianceError, MissingError
from squib.host.files import storage_errors
from squib.model.appliance import Appliance
from squib.model.near import did_you_mean
from squib.wire import appliance_file
from squib.wire.appliance_file import APPLIANCE_TOML, PYPROJECT_TOML

__all__ = ["CLOCK", "find_appliance", "packaged"]

CLOCK = "clock"
"""The packaged appliance that squib shows itself with."""

_MAX_BYTES = 1 << 20
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
    with storage_errors(working_folder / (selector or APPLIANCE_TOML)):
        file = _here(working_folder) if selector is None else _named(selector, working_folder)
    with storage_errors(file):
        if file.is_dir():
            raise MissingError(f"{file} is a folder, not an appliance file", hint="name the file, or the folder that holds it")
        if file.stat().st_size > _MAX_BYTES:
            raise ApplianceError(f"{file} is too large to be an appliance file", hint=f"they have at most {_MAX_BYTES:,} bytes")
        data = file.read_bytes()
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ApplianceError(f"{file}:{line}: not UTF-8 text") from error
    return appliance_file.decode(text, file.resolve())


def _here(working_folder: Path) -> Path:
    file = _file_in(working_folder)
    if file is None:
        raise MissingError(
            f"there is no appliance in this folder: no {APPLIANCE_TOML}, and no {PYPROJECT_TOML} with [tool.squib]",
            hint=f"squib init writes one here; or name one: a folder, a file, or {CLOCK}, which comes with squib",
        )
    return file


def _named(selector: str, working_folder: Path) -> Path:
    path = working_folder / selector
    if path.is_file():
        return path
    if path.is_dir():
        file = _file_in(path)
        if file is None:
            raise MissingError(
                f"{path} holds no {APPLIANCE_TOML}, and no {PYPROJECT_TOML} with [tool.squib]",
                hint=f"name another folder; squib init {shlex.quote(selector)} writes an appliance to start from",
            )
        return file
    if selector in packaged():
        return _PACKAGED / selector / APPLIANCE_TOML
    raise MissingError(
        f"{selector} is no file or folder, and no appliance of that name comes with squib{did_you_mean(selector, packaged())}",
        hint=f"name a folder, a file, or an appliance that comes with squib: {', '.join(packaged())}",
    )


def _file_in(folder: Path) -> Path | None:
    if (folder / APPLIANCE_TOML).exists():
        return folder / APPLIANCE_TOML
    pyproject = folder / PYPROJECT_TOML
    if pyproject.exists():
        text = pyproject.read_text(encoding="utf-8", errors="replace")
        if appliance_file.has_table(text):
            return pyproject
    return None
