"""Whose a file or a folder is, and who else could change it: asked of what is to be trusted, such as a cache or a program."""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
from pathlib import Path

from squib.errors import PermissionDeniedError
from squib.host.files import storage_errors
from squib.host.homes import group_is_private

__all__ = ["check_owned", "check_unshared", "is_anothers"]


def check_owned(descriptor: int, path: Path) -> None:
    """Raises PermissionDeniedError unless what `descriptor` holds is this user's or root's, and no other user may write it."""
    with storage_errors(path):
        status = os.fstat(descriptor)
    if _is_anothers(status):
        raise PermissionDeniedError(
            f"{path} belongs to another user (uid {status.st_uid}), who could change it at any moment",
            hint="use one of your own",
        )
    check_unshared(descriptor, path)


def is_anothers(descriptor: int, path: Path) -> bool:
    """Whether what `descriptor` holds is neither this user's nor root's. Raises HostError and its like."""
    with storage_errors(path):
        return _is_anothers(os.fstat(descriptor))


def _is_anothers(status: os.stat_result) -> bool:
    return status.st_uid not in {0, os.geteuid()}


def check_unshared(descriptor: int, path: Path) -> None:
    """Raises PermissionDeniedError unless only the owner of what `descriptor` holds, and root, may write it."""
    with storage_errors(path):
        status = os.fstat(descriptor)
    if status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and not _group_is_private(descriptor, status)):
        raise PermissionDeniedError(
            f"{path} can be changed by other users", hint=f"forbid it: chmod go-w {shlex.quote(str(path))}"
        )


def _group_is_private(descriptor: int, status: os.stat_result) -> bool:
    # With an access control list the group's bits are its mask, the most that anyone named in it may do (acl(5)).
    with contextlib.suppress(OSError):
        os.getxattr(descriptor, "system.posix_acl_access")
        return False
    return group_is_private(status)
