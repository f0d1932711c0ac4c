"""An answer of HTTP that has a deadline: in http.client only each wait has one, so to an answer that drips there is no end."""

from __future__ import annotations

import http.client
import io
import socket
import time
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["OverdueError", "TimedResponse"]


class OverdueError(TimeoutError):
    """The answer was not there by its deadline."""


class TimedResponse(http.client.HTTPResponse):
    """An answer that is read from `sock` until `end` (time.monotonic), and of which at most `most` bytes are taken, all told.

    Each wait is bounded by the time limit of the socket as well. Reading raises OverdueError, ConnectionError (it is longer).
    """

    def __init__(self, sock: socket.socket, debuglevel: int = 0, method: str | None = None, *, end: float, most: int) -> None:
        super().__init__(sock, debuglevel, method)
        raw = cast("socket.SocketIO", self.fp.detach())
        self.fp = io.BufferedReader(_Timed(sock, raw, end, most))


class _Timed(io.RawIOBase):
    """What comes by `raw`, which reads from `sock`."""

    def __init__(self, sock: socket.socket, raw: socket.SocketIO, end: float, most: int) -> None:
        super().__init__()
        self._socket, self._raw, self._end, self._most = sock, raw, end, most
        self._patience = sock.gettimeout()
        self._room = most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        try:
            return self._receive(buffer)
        except OSError:
            self._raw.close()  # urllib does not, where this is the body of a redirection
            raise

    def _receive(self, buffer: WriteableBuffer) -> int | None:
        left = self._end - time.monotonic()
        if left <= 0:
            raise OverdueError("timed out")
        self._socket.settimeout(left if self._patience is None else min(left, self._patience))
        try:
            count = self._raw.readinto(buffer)
        except TimeoutError as error:
            if time.monotonic() < self._end:
                raise
            raise OverdueError("timed out") from error
        self._room -= count or 0
        if self._room < 0:
            raise ConnectionError(f"the answer is longer than {self._most:,} bytes")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()
