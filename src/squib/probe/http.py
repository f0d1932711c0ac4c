"""One question to a running appliance from outside: GET over HTTP/1.1 on a connection of its own, with one deadline."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from squib.errors import UsageError

__all__ = ["MAX_BODY", "Answer", "ask"]

MAX_BODY = 1 << 20
"""Bytes of a body that are read; a longer one is an error."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one question. `error` is one sentence, or empty; with an error `status` may be 0 and `body` cut.

    `asked_at_s` is on the monotonic clock; `latency_us` runs from before the connection to the body's last byte.
    """

    status: int
    body: bytes
    latency_us: int
    asked_at_s: float
    error: str = ""


def ask(url: str, timeout: float) -> Answer:
    """Asks once; `timeout` in seconds. What goes wrong on the way is in the answer. Raises UsageError for a bad URL."""
    parts, port = _split(url)
    start = time.monotonic()
    connection = http.client.HTTPConnection(parts.hostname or "", port, timeout=timeout)
    status, body, error = 0, b"", ""
    expired = threading.Event()
    try:
        connection.connect()
        timer = threading.Timer(max(0.0, start + timeout - time.monotonic()), _expire, (connection.sock, expired))
        timer.start()
        try:
            status, body = _exchange(connection, parts)
        finally:
            timer.cancel()
            timer.join()
        if len(body) > MAX_BODY:
            error = f"the body is longer than {MAX_BODY:,} bytes"
    except (OSError, http.client.HTTPException, UnicodeError) as failure:
        error = _sentence(failure)
    finally:
        connection.close()
    if expired.is_set():
        error = f"no whole answer within {timeout:g} s"
    return Answer(status, body[:MAX_BODY], round((time.monotonic() - start) * 1_000_000), start, error)


def _split(url: str) -> tuple[SplitResult, int]:
    hint = "write it as http://127.0.0.1:8080/"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{url!r} is no URL: {error}", hint=hint) from error
    if parts.scheme != "http":
        raise UsageError(f"{url!r}: only http can be probed, not {parts.scheme or 'a URL without a scheme'}", hint=hint)
    if not parts.hostname or any(not "!" <= character <= "~" for character in url):
        raise UsageError(f"{url!r} is no URL that can be asked", hint=hint)
    return parts, 80 if port is None else port


def _exchange(connection: http.client.HTTPConnection, parts: SplitResult) -> tuple[int, bytes]:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection.request(
        "GET", target, headers={"accept": "application/json", "connection": "close", "user-agent": "squib-probe"}
    )
    response = connection.getresponse()
    expected = response.length
    body = response.read(MAX_BODY + 1)
    if expected is not None and len(body) < min(expected, MAX_BODY + 1):
        # Asked for at most so much, http.client takes less as the end.
        raise http.client.IncompleteRead(body, expected - len(body))
    return response.status, body


def _expire(sock: socket.socket, expired: threading.Event) -> None:
    """Breaks a connection whose peer sends a byte now and then: a socket's own timeout would start anew at each."""
    expired.set()
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is over already


def _sentence(failure: Exception) -> str:
    match failure:
        case ConnectionRefusedError():
            return "the connection was refused: nothing listens there"
        case TimeoutError():
            return "no answer in time"
        case http.client.RemoteDisconnected():
            return "the connection was closed before an answer came"
        case ConnectionResetError() | BrokenPipeError():
            return "the connection was reset"
        case socket.gaierror():
            return f"the host name cannot be resolved: {failure.strerror}"
        case http.client.IncompleteRead():
            return "the connection was closed in the middle of the body"
        case http.client.HTTPException() | UnicodeError():
            return "what answers does not speak HTTP"
        case OSError():
            return f"the connection failed: {failure.strerror or failure}"
        case _:
            return f"the question failed: {failure}"
