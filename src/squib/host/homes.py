"""Squib's own folders, one for what can be made again and one for what is running: each its user's alone, or not used.

What lies in them is believed: programs are run and processes are ended by it. So a folder that another user could change is
refused, also where root was given a user's by HOME or XDG_*; one that others may only look into is closed to them.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
from pathlib import Path

from squib.errors import HostError, MissingError, PermissionDeniedError

__all__ = ["cache_home", "group_is_private", "is_private", "state_home"]

_CACHE, _STATE = ("XDG_CACHE_HOME", ".cache"), ("XDG_STATE_HOME", ".local/state")
_ALL_USERS = ["0", "0", "4294967295"]
"""A user namespace that is the host's (user_namespaces(7), /proc/PID/uid_map)."""


def cache_home() -> Path:
    """Where squib keeps what can be made again: `$XDG_CACHE_HOME/squib`, else `~/.cache/squib`.

    Raises MissingError (this user has no home), PermissionDeniedError where another user could change it.
    """
    return _checked(_xdg(*_CACHE), _CACHE[0])


def state_home() -> Path:
    """Where squib keeps what is running: `$XDG_STATE_HOME/squib`, else `~/.local/state/squib`. Raises as `cache_home`."""
    return _checked(_xdg(*_STATE), _STATE[0])


def is_private(folder: Path) -> bool:
    """Whether `folder` is one of these two, or in one of them."""
    for variable, below_home in (_CACHE, _STATE):
        try:
            if folder.is_relative_to(_xdg(variable, below_home)):
                return True
        except MissingError:
            continue
    return False


def _xdg(variable: str, below_home: str) -> Path:
    # A relative path in the variable is to be ignored (XDG base directory specification).
    configured = Path(os.environ.get(variable, ""))
    if configured.is_absolute():
        return configured / "squib"
    try:
        return Path.home() / below_home / "squib"
    except RuntimeError as error:
        raise MissingError("this user has no home folder", hint=f"set {variable} to a folder you may write") from error


def _checked(folder: Path, variable: str) -> Path:
    """`folder`, if only this user may change it or it is not there yet; from here on nobody else may look into it."""
    user = os.geteuid()
    above = {folder, *folder.parents}
    if user == 0:  # whoever owns a folder above could put another in its place
        real = Path(os.path.realpath(folder))
        above |= {real, *real.parents}
    else:
        above = {folder}
    for path in sorted(above):
        status = _status(path)
        if status is not None and status.st_uid not in {0, user} and not _is_unmapped(status.st_uid):
            raise _anothers(path, status, variable)
    status = _status(folder, follow=True)
    if status is None:
        return folder
    if status.st_uid == 0 != user and variable == _CACHE[0] and stat.S_IMODE(status.st_mode) & 0o027 == 0o005:
        return folder  # what root brought along for all, as into a container: believed, and read only
    if status.st_uid != user:
        raise _anothers(folder, status, variable)
    _close(folder, status, variable)
    return folder


def _close(folder: Path, status: os.stat_result, variable: str) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if mode & stat.S_IWOTH or (mode & stat.S_IWGRP and not group_is_private(status)):
        quoted = shlex.quote(str(folder))
        raise PermissionDeniedError(
            f"other users may write into {folder}, so what is in it cannot be believed",
            hint=f"look who did: ls -la {quoted}; then close it: chmod 700 {quoted}; or set {variable} to another folder",
        )
    if mode & 0o077:
        try:
            folder.chmod(mode & 0o700)
        except OSError as error:
            if error.errno == errno.EROFS:  # one that was brought along, as in a container: nothing of anybody's goes in
                return
            raise HostError(
                f"{folder} cannot be closed to other users: {error.strerror}", hint=f"set {variable} to another folder"
            ) from error


def group_is_private(status: os.stat_result) -> bool:
    """Whether the group is its owner's alone: many systems give each user one of the same name, and umask 002."""
    import grp
    import pwd

    try:
        user, group = pwd.getpwuid(status.st_uid), grp.getgrgid(status.st_gid)
    except KeyError:
        return False
    return user.pw_gid == group.gr_gid and user.pw_name == group.gr_name and set(group.gr_mem) <= {user.pw_name}


def _status(path: Path, *, follow: bool = False) -> os.stat_result | None:
    try:
        return path.stat(follow_symlinks=follow)
    except OSError:  # whoever uses it will say why
        return None


def _anothers(path: Path, status: os.stat_result, variable: str) -> PermissionDeniedError:
    sudo = " (under sudo: sudo -H)" if os.geteuid() == 0 else ""
    return PermissionDeniedError(
        f"{path} belongs to another user (uid {status.st_uid}), who could change what squib keeps in it",
        hint=f"set HOME or {variable} to a folder of your own{sudo}",
    )


def _is_unmapped(uid: int) -> bool:
    """Whether `uid` stands for users of which this user namespace knows nothing, the host's root among them."""
    try:
        overflow = int(Path("/proc/sys/kernel/overflowuid").read_text(encoding="ascii"))
        return uid == overflow and Path("/proc/self/uid_map").read_text(encoding="ascii").split() != _ALL_USERS
    except (OSError, ValueError):
        return False
