"""A file from the web, in memory: with a time limit, a size limit, and what went wrong in words."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from squib.errors import UnavailableError

__all__ = ["download"]

_CHUNK = 1 << 16
_SILENCE_S = 20.0


def download(url: str, *, max_bytes: int, timeout: float) -> bytes:
    """What is at `url`, in at most `timeout` seconds. Raises UnavailableError.

    Redirections and the environment's proxies are followed (urllib). What comes is not trusted: whoever asks compares digests.
    """
    deadline, silence = time.monotonic() + timeout, min(timeout, _SILENCE_S)
    if urlsplit(url).scheme not in {"http", "https"}:
        raise UnavailableError(f"{url} is no address of the web")
    try:
        with urllib.request.urlopen(url, timeout=silence) as answer:  # noqa: S310 - the scheme was looked at
            data = bytearray()
            while chunk := answer.read(_CHUNK):
                data += chunk
                if len(data) > max_bytes:
                    raise UnavailableError(f"{url} is longer than {max_bytes:,} bytes: that cannot be right")
                if time.monotonic() > deadline:
                    raise UnavailableError(f"{url} did not come within {timeout:g} s", hint="try again")
            expected = answer.headers.get("content-length")
    except urllib.error.HTTPError as error:
        error.close()
        raise UnavailableError(f"{url}: status {error.code} {error.reason}", hint="is the address right?") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, TimeoutError):
            reason = f"nothing came for {silence:g} s"
        raise UnavailableError(f"{url} cannot be downloaded: {reason}", hint="is the network there?") from error
    if expected is not None and len(data) != int(expected):
        raise UnavailableError(f"{url} broke off: {len(data):,} of {int(expected):,} bytes came", hint="try again")
    return bytes(data)
