"""What was computed from a file once and is wanted again: byte code with its imports, what a library needs.

The rule: an entry is named by the digest of all that it depends on, and holds the digest of its own content. What does not
match, or cannot be read, counts as not there; what cannot be written is computed again next time.
"""

from __future__ import annotations

import contextlib
import hashlib
import marshal
from pathlib import Path
from typing import Any

from squib.errors import SquibError
from squib.host.files import write_atomic

__all__ = ["Cache", "key"]

_DIGEST_SIZE = 32
_FORMAT = 2
"""Of `marshal`: no references, so equal values are equal bytes."""


def key(*parts: str | bytes) -> str:
    """A name for what depends on all `parts`."""
    return hashlib.sha256(marshal.dumps(parts, _FORMAT)).hexdigest()


class Cache:
    """Values of tuples, strings, bytes and numbers in files below `folder`."""

    __slots__ = ("folder",)

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str) -> object:
        """The value, or None where there is none that is whole."""
        try:
            data = (self.folder / name).read_bytes()
        except OSError:
            return None
        digest, content = data[:_DIGEST_SIZE], data[_DIGEST_SIZE:]
        if hashlib.sha256(name.encode() + content).digest() != digest:
            return None
        value: object = marshal.loads(content)  # noqa: S302 - our own writing, whole as the digest says
        return value

    def put(self, name: str, value: tuple[Any, ...]) -> None:
        """Keeps `value`. A cache that cannot be written makes the next build slower, not this one fail."""
        content = marshal.dumps(value, _FORMAT)
        with contextlib.suppress(SquibError):
            write_atomic(self.folder / name, hashlib.sha256(name.encode() + content).digest() + content, 0o600)
