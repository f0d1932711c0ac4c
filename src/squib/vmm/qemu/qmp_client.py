"""A talk with one QEMU over its QMP socket: a command, its answer, and a deadline on each. Events in between are skipped."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Self

from squib.errors import HostError
from squib.host import unix_socket
from squib.wire import qmp

__all__ = ["QmpClient", "QmpError"]

_MAX_LINE = 1 << 20
_CHUNK = 1 << 16


class QmpError(HostError):
    """QEMU did not answer, closed the connection, or refused the command."""


class QmpClient:
    """One connection, past its greeting and in command mode. A context manager; `timeout` is in seconds, for all of it."""

    def __init__(self, path: Path, *, timeout: float) -> None:
        end = time.monotonic() + timeout
        self._buffer = bytearray()
        self._last_id = 0
        try:
            self._socket = unix_socket.connect(path, timeout)
        except OSError as error:
            raise QmpError(f"QEMU cannot be reached at {path.name}: {error.strerror or error}") from error
        try:
            self.version = self._greeting(end).version.qemu
            self._execute("qmp_capabilities", qmp.NoArguments(), end)
        except BaseException:
            self.close()
            raise

    def ctrl_alt_delete(self, *, timeout: float) -> None:
        """Presses the keys that ask a guest to stop. Raises QmpError."""
        self._execute("send-key", qmp.CTRL_ALT_DELETE, time.monotonic() + timeout)

    def quit(self, *, timeout: float) -> None:
        """Ends QEMU now, as pulling the plug. Raises QmpError."""
        self._execute("quit", qmp.NoArguments(), time.monotonic() + timeout)

    def _greeting(self, end: float) -> qmp.GreetingBody:
        greeting = self._receive(end)
        if not isinstance(greeting, qmp.Greeting):
            raise QmpError("what listens on QEMU's socket does not greet as QEMU does")
        return greeting.body

    def _execute(self, name: qmp.CommandName, arguments: qmp.SendKeyArguments | qmp.NoArguments, end: float) -> None:
        self._last_id += 1
        try:
            self._socket.settimeout(_left(end))
            self._socket.sendall(qmp.encode(qmp.Command(execute=name, id=self._last_id, arguments=arguments)))
        except OSError as error:
            raise QmpError(f"QEMU did not take the command {name}: {error.strerror or error}") from error
        while True:
            match self._receive(end):
                case qmp.Return(id=self._last_id):
                    return
                case qmp.Failure(id=self._last_id | None) as failure:
                    raise QmpError(f"QEMU refused the command {name}: {failure.error.desc}")
                case _:
                    continue

    def _receive(self, end: float) -> qmp.Message:
        while (newline := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > _MAX_LINE:
                raise QmpError("QEMU sent a line without an end")
            try:
                self._socket.settimeout(_left(end))
                chunk = self._socket.recv(_CHUNK)
            except TimeoutError as error:
                raise QmpError("QEMU did not answer in time") from error
            except OSError as error:
                raise QmpError(f"QEMU cannot be read: {error.strerror}") from error
            if not chunk:
                raise QmpError("QEMU closed the connection")
            self._buffer += chunk
        line = bytes(self._buffer[:newline])
        del self._buffer[: newline + 1]
        try:
            return qmp.decode(line)
        except qmp.QmpDecodeError as error:
            raise QmpError(f"QEMU sent something odd: {error}") from error

    def close(self) -> None:
        """Closes the connection; QEMU runs on."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _left(end: float) -> float:
    """Seconds until `end`, never 0: that would mean a socket that does not block."""
    return max(0.001, end - time.monotonic())
