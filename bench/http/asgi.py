"""The clock as an ASGI app, for the servers that squib is compared with: the same body, made once a second."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from squib.guest.clock import body_at

Message = MutableMapping[str, Any]
_HEADERS = [(b"content-length", b"40"), (b"content-type", b"application/json")]


class _Clock:
    def __init__(self) -> None:
        self._second = -1
        self._body = b""

    def body(self) -> bytes:
        second = int(time.time())
        if second != self._second:
            self._second, self._body = second, body_at(second)
        return self._body


_clock = _Clock()


async def app(scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:  # noqa: ARG001
    """ASGI 3; only HTTP is asked."""
    if scope["type"] != "http":
        raise RuntimeError(f"no {scope['type']} here")  # what says that there is no lifespan
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _clock.body()})
