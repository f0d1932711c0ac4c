"""Unix-domain stream sockets at paths of any length: the 108 bytes of sun_path are spent on a descriptor (unix(7))."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from squib.host.files import storage_errors

__all__ = ["connect", "listen"]


def listen(path: Path) -> socket.socket:
    """A listening socket that is made at `path`, for its owner only. Raises StorageError and its like."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with storage_errors(path), _short(path) as name:
            server.bind(name)
            path.chmod(0o600)
            server.listen(1)
    except BaseException:
        server.close()
        raise
    return server


def connect(path: Path, timeout: float) -> socket.socket:
    """A connection to who listens at `path`; `timeout` seconds for this and each later operation. Raises OSError.

    A link is not followed: the folder may be one in which a guest's VMM can write.
    """
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        client.settimeout(timeout)
        there = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if not stat.S_ISSOCK(os.fstat(there).st_mode):
                raise OSError(errno.ENOTSOCK, os.strerror(errno.ENOTSOCK), str(path))
            client.connect(f"/proc/self/fd/{there}")
        finally:
            os.close(there)
    except BaseException:
        client.close()
        raise
    return client


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
