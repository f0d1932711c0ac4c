"""Telling a Firecracker that was just started what to run, until the guest starts.

At each step three things are waited for: the answer, the process's death, and a deadline. What Firecracker said until then
becomes the error.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from squib.errors import HostError, SquibError
from squib.host.process import Handle
from squib.vmm.firecracker.api_client import ApiClient, ApiError, ApiRefusedError
from squib.vmm.firecracker.faults import explain_death, explain_refusal
from squib.wire.firecracker.requests import Request

__all__ = ["start"]

_SOCKET_S = 10.0
"""Seconds until it listens; it takes about 0.01."""
_ANSWER_S = 10.0
_START_S = 60.0
"""Seconds for InstanceStart, which reads the kernel from the disk."""
_LOOK_S = 0.001


def start(
    process: Handle,
    socket: Path,
    wanted: tuple[Request, ...],
    *,
    said: Callable[[], str],
    each: Callable[[Request], None] | None = None,
) -> None:
    """Sends `wanted`, whose last starts the machine; `each` is told of each before. `said`: what Firecracker wrote of itself.

    Raises SquibError for each way in which that can fail; the process is then left as it is.
    """
    with _connected(process, socket, said) as client:
        for request in wanted:
            if each is not None:
                each(request)
            try:
                client.send(request, timeout=_START_S if request == wanted[-1] else _ANSWER_S)
            except ApiRefusedError as refusal:
                raise explain_refusal(refusal, said()) from refusal
            except ApiError as error:
                raise _silence(process, f"{request.method} {request.path}", error, said) from error


def _connected(process: Handle, socket: Path, said: Callable[[], str]) -> ApiClient:
    deadline = time.monotonic() + _SOCKET_S
    while True:
        try:
            client = ApiClient(socket, timeout=_ANSWER_S)
        except ApiError as error:
            if process.wait(_LOOK_S) or time.monotonic() >= deadline:
                raise _silence(process, "listen on its socket", error, said) from error
        else:
            with contextlib.suppress(OSError):  # for its owner only
                socket.chmod(0o600)
            return client


def _silence(process: Handle, step: str, error: ApiError, said: Callable[[], str]) -> SquibError:
    if process.wait(1.0):
        return explain_death(step, process.returncode, said())
    return HostError(str(error), hint="is this host overloaded?", detail=said())
