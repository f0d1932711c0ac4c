"""HTTP/1.1 over a Unix-domain socket: one connection, one request at a time, and a deadline for each."""

from __future__ import annotations

import functools
import http.client
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from squib.host import unix_socket
from squib.host.timed_http import TimedResponse

__all__ = ["UnixHttp"]

_MAX_BODY = 1 << 20
_MAX_HEAD = 1 << 16
"""Of the bytes around a body, with all that says no more than that an answer is to come (100 Continue)."""


class UnixHttp:
    """A connection to who listens at `path`, in `timeout` seconds; a context manager. Raises OSError."""

    def __init__(self, path: Path, *, timeout: float) -> None:
        self._connection = http.client.HTTPConnection("localhost")
        self._connection.sock = unix_socket.connect(path, timeout)

    def request(self, method: str, target: str, body: bytes | None = None, *, timeout: float) -> tuple[int, bytes]:
        """The status and the body of the answer; `timeout` in seconds, for all of it. Raises OSError, also for no HTTP."""
        if self._connection.sock is None:  # http.client would open another one, to somewhere else
            raise ConnectionError("the connection was closed")
        self._connection.sock.settimeout(timeout)
        end = time.monotonic() + timeout
        answer_class = functools.partial(TimedResponse, end=end, most=_MAX_BODY + _MAX_HEAD)
        self._connection.response_class = answer_class  # type: ignore[assignment]  # whatever makes one will do
        headers = {} if body is None else {"content-type": "application/json"}
        try:
            self._connection.request(method, target, body, headers)
            with self._connection.getresponse() as response:
                answer = response.read(_MAX_BODY + 1)
        except http.client.HTTPException as error:
            raise ConnectionError(f"no answer of HTTP: {type(error).__name__}") from error
        if len(answer) > _MAX_BODY:
            raise ConnectionError(f"the answer is longer than {_MAX_BODY:,} bytes")
        return response.status, answer

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
