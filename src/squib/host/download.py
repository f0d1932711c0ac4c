"""A file from the web, in memory: with a time limit, a size limit, and what went wrong in words."""

from __future__ import annotations

import functools
import http.client
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from squib.errors import UnavailableError
from squib.host.timed_http import OverdueError, TimedResponse

__all__ = ["download"]

_CHUNK = 1 << 16
_SILENCE_S = 20.0
_MAX_HEADS = 1 << 20
"""Of the bytes around a file's own, beside what its chunks may take."""
_MAX_DIGITS = 20


def download(url: str, *, max_bytes: int, timeout: float) -> bytes:
    """What is at `url`, in at most `timeout` seconds. Raises UnavailableError.

    Redirections and the environment's proxies are followed (urllib). What comes is not trusted: whoever asks compares digests.
    """
    deadline, silence = time.monotonic() + timeout, min(timeout, _SILENCE_S)
    if urlsplit(url).scheme not in {"http", "https"}:
        raise UnavailableError(f"{url} is no address of the web")
    try:
        with _opener(deadline, 2 * max_bytes + _MAX_HEADS).open(url, timeout=silence) as answer:
            expected = _length(url, answer.headers.get("content-length"))
            data = bytearray()
            while chunk := answer.read(_CHUNK):
                data += chunk
                if len(data) > max_bytes:
                    raise UnavailableError(f"{url} is longer than {max_bytes:,} bytes: that cannot be right")
    except urllib.error.HTTPError as error:
        error.close()
        raise UnavailableError(f"{url}: status {error.code} {error.reason}", hint="is the address right?") from error
    except (OSError, http.client.HTTPException, ValueError) as error:  # a ValueError: an address to which it has moved is none
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, OverdueError):
            raise UnavailableError(f"{url} did not come within {timeout:g} s", hint="try again") from error
        if isinstance(reason, TimeoutError):
            reason = f"nothing came for {silence:g} s"
        raise UnavailableError(f"{url} cannot be downloaded: {reason}", hint="is the network there?") from error
    if expected is not None and len(data) != expected:
        raise UnavailableError(f"{url} broke off: {len(data):,} of {expected:,} bytes came", hint="try again")
    return bytes(data)


def _length(url: str, told: str | None) -> int | None:
    if told is None:
        return None
    if not (told.isascii() and told.isdecimal() and len(told) <= _MAX_DIGITS):
        raise UnavailableError(f"{url}: its server tells a length that is none: {told[:_MAX_DIGITS]!r}", hint="try again later")
    return int(told)


class _Timed(urllib.request.AbstractHTTPHandler):
    """Whose answers, those that lead elsewhere too, are there by `end`, and have at most `most` bytes each."""

    def __init__(self, end: float, most: int) -> None:
        super().__init__()
        self._answer_class = functools.partial(TimedResponse, end=end, most=most)

    def do_open(self, http_class: Any, req: urllib.request.Request, **more: Any) -> http.client.HTTPResponse:
        def connection(host: str, **how: Any) -> Any:
            made = http_class(host, **how)
            made.response_class = self._answer_class
            return made

        return super().do_open(connection, req, **more)


class _Http(_Timed, urllib.request.HTTPHandler):
    pass


class _Https(_Timed, urllib.request.HTTPSHandler):
    pass


def _opener(end: float, most: int) -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_Http(end, most), _Https(end, most))
