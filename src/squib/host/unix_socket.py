"""Unix-domain stream sockets at paths of any length: the 108 bytes of sun_path are spent on the last name only (unix(7))."""

from __future__ import annotations

import contextlib
import os
import socket
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
    """A connection to who listens at `path`; `timeout` seconds for this and each later operation. Raises OSError."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        client.settimeout(timeout)
        with _short(path) as name:
            client.connect(name)
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
