"""`[image] include`: the files and folders of an appliance that go in as they are.

The rules:
- What is named goes in: a file, or a folder with all that is below it, empty folders too.
- A link that stays in the appliance's folder stays a link where its target goes in as well; elsewhere what it leads to goes
  in, in its place. A link that leaves, or that leads nowhere, is refused.
- Of a named folder, what looks like a secret is left out and said (`secret_files`); a file that is named itself goes in.
- Anything else (FIFOs, sockets, devices, names with control characters) is refused by its name. `__pycache__` is passed over.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NoReturn

from squib.build.appliance_files import BOUNDS, AppFolder
from squib.build.secret_files import secret_by_content, secret_by_name
from squib.errors import ApplianceError, MissingError
from squib.host.untrusted import kind_of
from squib.model.appliance import Appliance
from squib.model.progress import Note, Progress
from squib.model.tree import Directory, Entry, File, Symlink, has_control_character

__all__ = ["Included", "LeftOut", "included", "tell_left_out"]

_WHY = "[image] include"
_PYCACHE = "__pycache__"
_TOLD = 20


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file or folder below the appliance's folder that does not go in, and what it holds."""

    path: PurePosixPath
    holds: str


@dataclass(frozen=True, slots=True)
class Included:
    """What goes in (below `root`, in no order), and what was left out."""

    entries: tuple[Entry, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True)
class _Link:
    """A link at `place` that leads to `target`; `through` are the folders that links led into on the way here."""

    place: PurePosixPath
    target: PurePosixPath
    through: tuple[PurePosixPath, ...]


def included(appliance: Appliance, app: AppFolder, root: str, has_modules: frozenset[str]) -> Included:
    """Reads what `[image] include` names. `has_modules` are folders of the image that hold modules, so cannot be links.

    Raises ApplianceError, MissingError, PermissionDeniedError, HostError.
    """
    include = _Include(appliance, app, root, has_modules)
    for name in dict.fromkeys(appliance.image.include):
        include.named(name)
    include.links()
    return Included(tuple(include.entries.values()), tuple(include.left_out.values()))


def tell_left_out(left_out: tuple[LeftOut, ...], report: Progress) -> None:
    """Notes for a person, some of them where there are many."""
    for one in left_out[:_TOLD]:
        report(Note(f"left out of the image: {one.path} ({one.holds}); name it in image.include to take it in"), None)
    if len(left_out) > _TOLD:
        report(Note(f"left out of the image: {len(left_out) - _TOLD} more of their kind"), None)


class _Include:
    def __init__(self, appliance: Appliance, app: AppFolder, root: str, has_modules: frozenset[str]) -> None:
        self.entries: dict[PurePosixPath, Entry] = {}
        self.left_out: dict[PurePosixPath, LeftOut] = {}
        self._appliance, self._app, self._root, self._has_modules = appliance, app, root, has_modules
        self._named: set[PurePosixPath] = {PurePosixPath(name) for name in appliance.image.include}
        self._links: deque[_Link] = deque()

    def named(self, name: str) -> None:
        """One of `include`."""
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts or not place.parts:
            self._refuse(name, "must be a path below the appliance's folder")
        self._check_name(place)
        try:
            status = self._app.folder.status(place, follow=True)
            target = self._app.folder.resolve(place)
        except MissingError as error:
            raise self._wrong(name, f"is not in {self._appliance.folder}") from error
        if stat.S_ISDIR(status.st_mode):
            self._folder(place, target, (target,))
        elif stat.S_ISREG(status.st_mode):
            self._file(place, target)
        else:
            self._refuse(name, f"is {kind_of(status.st_mode)}, and only files and folders go in")

    def links(self) -> None:
        """The links that were come by, once all is known that goes in beside them."""
        while self._links:
            link = self._links.popleft()
            if link.target in self.entries and f"{self._root}/{link.place}" not in self._has_modules:
                target = os.path.relpath(link.target, link.place.parent)
                self._add(link.place, Symlink(f"{self._root}/{link.place}", target, _WHY))
            elif stat.S_ISREG(self._app.folder.status(link.target).st_mode):
                if not self._secret(link.place, link.target):
                    self._file(link.place, link.target)
            elif any(inner == link.target or link.target in inner.parents for inner in link.through):
                self._refuse(link.place, "is a link that leads round in a circle")
            elif not self._secret(link.place, link.target):
                self._folder(link.place, link.target, (*link.through, link.target))

    def _folder(self, place: PurePosixPath, target: PurePosixPath, through: tuple[PurePosixPath, ...]) -> None:
        """The folder `target` and all below it, at `place`."""
        self._add(place, Directory(f"{self._root}/{place}", why=_WHY))
        for found in self._app.folder.walk(target, BOUNDS, lambda path: self._passed_over(place, target, path)):
            here = place / found.path.relative_to(target)
            self._check_name(here)
            if stat.S_ISDIR(found.status.st_mode):
                self._add(here, Directory(f"{self._root}/{here}", why=_WHY))
            elif stat.S_ISLNK(found.status.st_mode):
                self._link(here, found.path, through)
            else:
                self._file(here, found.path)

    def _passed_over(self, place: PurePosixPath, target: PurePosixPath, path: PurePosixPath) -> bool:
        here = place / path.relative_to(target)
        return path.name == _PYCACHE or (here not in self._named and self._secret(here, path))

    def _secret(self, place: PurePosixPath, target: PurePosixPath) -> bool:
        """Whether it is to be left out by a name, which is then told."""
        holds = secret_by_name(place) or secret_by_name(target)
        if holds:
            self.left_out[place] = LeftOut(place, holds)
        return bool(holds)

    def _link(self, place: PurePosixPath, path: PurePosixPath, through: tuple[PurePosixPath, ...]) -> None:
        try:
            target = self._app.folder.resolve(path)
            mode = self._app.folder.status(target).st_mode
        except MissingError as error:
            raise self._wrong(place, "is a link that leads to nothing") from error
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            self._refuse(place, f"leads to {kind_of(mode)}, and only files and folders go in")
        self._links.append(_Link(place, target, through))

    def _file(self, place: PurePosixPath, target: PurePosixPath) -> None:
        data, mode = self._app.read(target)
        if place not in self._named and (holds := secret_by_content(data)):
            self.left_out[place] = LeftOut(place, holds)
            return
        self._add(place, File(f"{self._root}/{place}", data, 0o755 if mode & stat.S_IXUSR else 0o644, _WHY))

    def _add(self, place: PurePosixPath, entry: Entry) -> None:
        self.entries.setdefault(place, entry)
        if len(self.entries) > BOUNDS.entries:
            self._refuse(place, f"is one too many: at most {BOUNDS.entries:,} files and folders go in")

    def _check_name(self, place: PurePosixPath) -> None:
        if has_control_character(str(place)):
            self._refuse(ascii(str(place)), "has a control character in its name")

    def _refuse(self, place: str | PurePosixPath, what: str) -> NoReturn:
        raise self._wrong(place, what)

    def _wrong(self, place: str | PurePosixPath, what: str) -> ApplianceError:
        return ApplianceError(
            f"{self._appliance.name}: image.include: {place} {what}",
            hint="name files and folders relative to the appliance file",
        )
