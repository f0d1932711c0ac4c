"""A name on its way beneath a folder that is held open: component by component, and never out of it.

The kernel is asked for one component at a time, without following it, in a folder that is held: so renaming on the way leads
nowhere else. `..` goes back to the folder held before; the kernel is never asked for it. By steps rather than by openat2(2):
docs/decisions/0033.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NoReturn

from squib.errors import ApplianceError

__all__ = ["Place", "Resolution", "refuse_changed"]

_MAX_LINKS = 40
"""As many as the kernel follows in one name (path_resolution(7))."""

_STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Place:
    """The thing `name` in the held `folder` ("." for the folder itself), its true path from the top, and what it is."""

    folder: int
    name: str
    path: PurePosixPath
    status: os.stat_result


class Resolution:
    """One name beneath `top`, a descriptor; `own_names` are those of its own path from the root, `shown` is for messages.

    Without `follow` a link on the way is an error, and one at the end is what is found. With it, links are followed as long
    as they lead back inside, and the end is no link.
    """

    def __init__(self, top: int, own_names: tuple[str, ...], name: PurePosixPath, shown: Path, *, follow: bool) -> None:
        self._top, self._own_names, self._shown, self._follow = top, own_names, shown, follow
        if ".." in name.parts or name.is_absolute():
            raise ValueError(f"not a name below a folder: {name}")
        self._waiting = list(reversed(name.parts))
        self._held: list[tuple[int, str]] = []
        self._links = 0
        self._level = len(own_names)
        """How many of the top's own names lead to where we are: fewer than all after a link that led above it."""

    def close(self) -> None:
        """Lets go of the folders on the way."""
        while self._held:
            os.close(self._held.pop()[0])

    def run(self) -> Place:
        """Where the name leads. Raises OSError, and ApplianceError where that is outside, or a link too many."""
        while self._waiting:
            part = self._waiting.pop()
            if part == "..":
                self._up()
            elif self._level < len(self._own_names):
                if part != self._own_names[self._level]:
                    self._refuse_leaving()
                self._level += 1
            else:
                status = os.stat(part, dir_fd=self._here, follow_symlinks=False)
                if stat.S_ISLNK(status.st_mode) and (self._follow or self._waiting):
                    self._link(part)
                elif self._waiting:
                    self._down(part)
                else:
                    return Place(self._here, part, self._path / part, status)
        if self._level < len(self._own_names):
            self._refuse_leaving()
        return Place(self._here, ".", self._path, os.fstat(self._here))

    @property
    def _here(self) -> int:
        return self._held[-1][0] if self._held else self._top

    @property
    def _path(self) -> PurePosixPath:
        return PurePosixPath(*(name for _, name in self._held))

    def _up(self) -> None:
        if self._held:
            os.close(self._held.pop()[0])
        else:
            self._level = max(0, self._level - 1)

    def _down(self, part: str) -> None:
        try:
            self._held.append((os.open(part, _STEP, dir_fd=self._here), part))
        except OSError as error:
            if error.errno == errno.ELOOP:
                refuse_changed(self._shown)
            raise

    def _link(self, part: str) -> None:
        if not self._follow:
            raise ApplianceError(f"{self._shown}: {part} is a symbolic link", hint="put the folder itself there")
        self._links += 1
        if self._links > _MAX_LINKS:
            raise ApplianceError(f"{self._shown}: its symbolic links lead round in a circle", hint="remove the link")
        target = os.readlink(part, dir_fd=self._here)
        if target.startswith("/"):
            self.close()
            self._level = 0
        self._waiting += reversed([name for name in target.split("/") if name not in {"", "."}])

    def _refuse_leaving(self) -> NoReturn:
        raise ApplianceError(
            f"{self._shown} is a symbolic link that leaves /{'/'.join(self._own_names)}",
            hint="put a copy of what it leads to in its place",
        )


def refuse_changed(path: Path) -> NoReturn:
    """Raises ApplianceError: what was seen is not what was opened."""
    raise ApplianceError(f"{path} was changed while it was being opened", hint="try again when nobody writes there")
