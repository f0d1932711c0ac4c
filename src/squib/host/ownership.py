"""Whose a file or a folder is, and who else could change it: asked of what is to be trusted, such as a cache or a program."""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
from pathlib import Path

from squib.errors import PermissionDeniedError
from squib.host.files import storage_errors

__all__ = ["check_owned"]


def check_owned(descriptor: int, path: Path) -> None:
    """Raises PermissionDeniedError unless what `descriptor` holds is this user's or root's, and no other user may write it."""
    with storage_errors(path):
        status = os.fstat(descriptor)
    if status.st_uid not in {0, os.geteuid()}:
        raise PermissionDeniedError(
            f"{path} belongs to another user (uid {status.st_uid}), who could change it at any moment",
            hint="use one of your own",
        )
    if status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and not _group_is_private(descriptor, status)):
        raise PermissionDeniedError(
            f"{path} can be changed by other users", hint=f"forbid it: chmod go-w {shlex.quote(str(path))}"
        )


def _group_is_private(descriptor: int, status: os.stat_result) -> bool:
    """Whether the group is its owner's alone: many systems give each user one of the same name, and umask 002."""
    import grp
    import pwd

    # With an access control list the group's bits are its mask, the most that anyone named in it may do (acl(5)).
    with contextlib.suppress(OSError):
        os.getxattr(descriptor, "system.posix_acl_access")
        return False
    try:
        user, group = pwd.getpwuid(status.st_uid), grp.getgrgid(status.st_gid)
    except KeyError:
        return False
    return user.pw_gid == group.gr_gid and user.pw_name == group.gr_name and set(group.gr_mem) <= {user.pw_name}
