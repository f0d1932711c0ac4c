"""Lines of bytes that come cut anywhere, as a console's do."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["LineCutter"]

_MAX_LINE = 1 << 16


class LineCutter:
    """Makes lines of what it is fed; an endless one is cut after 64 KiB."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that `data` completes, each with its line feed."""
        *whole, rest = data.split(b"\n")  # what is kept is not searched again
        for end in whole:
            yield bytes(self._rest) + end + b"\n"
            self._rest.clear()
        self._rest += rest
        while len(self._rest) >= _MAX_LINE:
            yield bytes(self._rest[:_MAX_LINE])
            del self._rest[:_MAX_LINE]

    def end(self) -> bytes:
        """The last line, where it has no end; empty where there is none."""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest
