"""A talk with one Firecracker over its API socket: a request, its answer, and a time limit on each."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from squib.errors import HostError
from squib.host.unix_http import UnixHttp
from squib.wire.firecracker.requests import Request
from squib.wire.firecracker.resources import Error

__all__ = ["ApiClient", "ApiError", "ApiRefusedError"]

_NO_CONTENT = 204


class ApiError(HostError):
    """Firecracker did not answer, or closed the connection."""


class ApiRefusedError(ApiError):
    """Firecracker refused `request`; `fault` is its own reason."""

    def __init__(self, request: Request, status: int, fault: str) -> None:
        super().__init__(
            f"Firecracker refused {request.method} {request.path} ({status}): {fault}",
            hint="squib run --show requests shows all that it is asked for",
        )
        self.request = request
        self.fault = fault


class ApiClient:
    """One connection; a context manager. Raises ApiError where nobody listens at `path`."""

    def __init__(self, path: Path, *, timeout: float) -> None:
        try:
            self._http = UnixHttp(path, timeout=timeout)
        except OSError as error:
            raise ApiError(f"Firecracker cannot be reached at {path.name}: {error.strerror or error}") from error

    def send(self, request: Request, *, timeout: float) -> None:
        """Returns once it is done; `timeout` in seconds. Raises ApiError, ApiRefusedError."""
        try:
            status, body = self._http.request(request.method, request.path, request.body, timeout=timeout)
        except TimeoutError as error:
            raise ApiError(f"Firecracker did not answer {request.method} {request.path} within {timeout:g} s") from error
        except OSError as error:
            raise ApiError(f"Firecracker did not answer {request.method} {request.path}: {error.strerror or error}") from error
        if status != _NO_CONTENT:
            raise ApiRefusedError(request, status, _fault(body))

    def close(self) -> None:
        """Closes the connection; Firecracker runs on."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _fault(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=Error).fault_message or "no reason given"
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return f"no reason that could be read ({body[:200]!r})"
