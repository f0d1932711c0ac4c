"""A new appliance: the files of `squib/starter`, written to a folder, all of them or none, and over nothing."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from squib.errors import TakenError, UsageError
from squib.host.files import making, storage_errors
from squib.wire import appliance_file
from squib.wire.appliance_file import APPLIANCE_TOML, PYPROJECT_TOML
from squib.wire.appliance_tables import NAME

__all__ = ["name_for", "write_starter"]

_STARTER = Path(__file__).parent.parent / "starter"
_FILES = ("app.py", "test_app.py", APPLIANCE_TOML)
"""The appliance file last: what is cut off before is no appliance."""

_PLACEHOLDER = 'name = "hello"'


def name_for(folder: Path) -> str:
    """A name for an appliance from that of its folder; "app" where nothing of it can be used."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower())
    return re.sub(r"^[^a-z]+", "", name)[:32].strip("-") or "app"


def write_starter(folder: Path, name: str) -> tuple[Path, ...]:
    """The files that were written; `folder` is made where it is not there.

    Raises UsageError (not a name), TakenError (a file is there already), StorageError and its kin.
    """
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of an appliance",
            hint="a lower-case letter, then letters, digits or -, at most 32",
        )
    _refuse_what_is_there(folder)
    texts = {file: (_STARTER / file).read_text(encoding="utf-8") for file in _FILES}
    texts[APPLIANCE_TOML] = texts[APPLIANCE_TOML].replace(_PLACEHOLDER, f'name = "{name}"')
    with ExitStack() as undo:
        _make_folder(folder, undo)
        for file, text in texts.items():
            _write_new(folder / file, text, undo)
        undo.pop_all()
    return tuple(folder / file for file in sorted(_FILES))


def _refuse_what_is_there(folder: Path) -> None:
    for file in _FILES:
        if os.path.lexists(folder / file):
            raise _taken(folder / file)
    pyproject = folder / PYPROJECT_TOML
    with storage_errors(pyproject):
        text = pyproject.read_text(encoding="utf-8", errors="replace") if pyproject.is_file() else ""
    if appliance_file.has_table(text):
        raise TakenError(f"{pyproject} has an appliance already, in [tool.squib]", hint="choose another folder: squib init DIR")


def _taken(path: Path) -> TakenError:
    return TakenError(f"{path} is there already, and stays as it is", hint="choose another folder: squib init DIR")


def _make_folder(folder: Path, undo: ExitStack) -> None:
    with storage_errors(folder), making(folder):
        for path in (*reversed(folder.parents), folder):
            with contextlib.suppress(FileExistsError):
                path.mkdir()
                undo.callback(_quietly, path.rmdir)
        folder.stat()


def _write_new(path: Path, text: str, undo: ExitStack) -> None:
    with storage_errors(path):
        try:
            file = path.open("x", encoding="utf-8")
        except FileExistsError as error:  # somebody was quicker
            raise _taken(path) from error
        undo.callback(_quietly, path.unlink)
        with file:
            file.write(text)


def _quietly(remove: Callable[[], object]) -> None:
    with contextlib.suppress(OSError):
        remove()
