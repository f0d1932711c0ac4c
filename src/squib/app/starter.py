"""A new appliance: the files of `squib/starter`, all of them or none, written over nothing and beside no other project."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from squib.app.python_project import PythonProject, look
from squib.errors import TakenError, UsageError
from squib.host.appliances import MAX_FILE_BYTES
from squib.host.files import making, storage_errors
from squib.host.untrusted import Folder
from squib.wire import appliance_file
from squib.wire.appliance_file import APPLIANCE_TOML, PYPROJECT_TOML
from squib.wire.appliance_tables import NAME

__all__ = ["name_for", "write_starter"]

_STARTER = Path(__file__).parent.parent / "starter"
_FILES = ("app.py", "test_app.py", APPLIANCE_TOML)
"""The appliance file last: what is cut off before is no appliance."""

_SHOWN = 3
_PLACEHOLDER = 'name = "hello"'


def name_for(folder: Path) -> str:
    """A name for an appliance from that of its folder; "app" where nothing of it can be used."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower())
    return re.sub(r"^[^a-z]+", "", name)[:32].strip("-") or "app"


def write_starter(folder: Path, name: str) -> tuple[Path, ...]:
    """The files that were written; `folder` is made where it is not there.

    A project that is there already is left as it is: where one function of it can be served, only the appliance file is
    written. Raises UsageError (not a name), TakenError (a file or another project is there already), StorageError and its kin.
    """
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of an appliance",
            hint="a lower-case letter, then letters, digits or -, at most 32",
        )
    _refuse_an_appliance(folder)
    project = look(folder)
    if project is not None and project.framework:
        raise _no_framework(folder, project)
    _refuse_what_is_there(folder)
    texts = _starter(name) if project is None else {APPLIANCE_TOML: _for_handler(name, _handler(folder, project))}
    with ExitStack() as undo:
        _make_folder(folder, undo)
        for file, text in texts.items():
            _write_new(folder / file, text, undo)
        undo.pop_all()
    return tuple(folder / file for file in sorted(texts))


def _starter(name: str) -> dict[str, str]:
    texts = {file: (_STARTER / file).read_text(encoding="utf-8") for file in _FILES}
    texts[APPLIANCE_TOML] = texts[APPLIANCE_TOML].replace(_PLACEHOLDER, f'name = "{name}"')
    return texts


def _for_handler(name: str, handler: str) -> str:
    """The appliance file for a function that is there already: without what only the starter's own app knows."""
    text = _starter(name)[APPLIANCE_TOML].replace('serve = "app:answer"', f'serve = "{handler}"')
    text = text.replace('summary = "greets whoever asks"', '# summary = "greets whoever asks"')
    return re.sub(r"\[keys\.greeting\]\n(?:.+\n)+\n", "", text)


def _handler(folder: Path, project: PythonProject) -> str:
    """The one function to serve. Raises TakenError where there is none, or more than one."""
    there = f"{_shown(folder)} holds a Python project already ({_some(project.files)})"
    if not project.handlers:
        raise TakenError(
            f"{there}, and no function that squib could serve",
            hint="squib init DIR starts in a folder of its own; docs/appliance-file.md has what such a function is",
        )
    if len(project.handlers) > 1:
        raise TakenError(
            f"{there}, with more than one function to serve: {_some(project.handlers)}",
            hint=f'write an appliance.toml that names one: serve = "{project.handlers[0]}"',
        )
    return project.handlers[0]


def _no_framework(folder: Path, project: PythonProject) -> TakenError:
    where = project.app or _some(project.files)
    return TakenError(
        f"{_shown(folder)} holds a {project.framework} app ({where}), and squib cannot serve {project.framework} yet: "
        "it serves functions from a request to a response",
        hint="squib init DIR writes such a function to start from, in a folder of its own",
    )


def _shown(folder: Path) -> str:
    return "this folder" if folder == Path() else str(folder)


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")


def _refuse_an_appliance(folder: Path) -> None:
    """One that is there already is not written over, nor hidden."""
    if os.path.lexists(folder / APPLIANCE_TOML):
        raise _taken(folder / APPLIANCE_TOML)
    if not folder.is_dir():
        return
    with Folder(folder) as place:
        if not place.holds(PYPROJECT_TOML):
            return
        text = place.read(PYPROJECT_TOML, max_bytes=MAX_FILE_BYTES, follow=True).decode("utf-8", "replace")
    if appliance_file.has_table(text):
        pyproject = folder / PYPROJECT_TOML
        raise TakenError(f"{pyproject} has an appliance already, in [tool.squib]", hint="choose another folder: squib init DIR")


def _refuse_what_is_there(folder: Path) -> None:
    for file in _FILES:
        if os.path.lexists(folder / file):
            raise _taken(folder / file)


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
