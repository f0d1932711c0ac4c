"""The clock: answers every request with the time, in the bytes of the seed's server.

The time is read at each request; only the bytes of a second are kept, for as long as it is that second.
"""

from __future__ import annotations

import time

from squib.guest.handler import Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from squib.guest.handler import Request


def body_at(second: int) -> bytes:
    """The 40 bytes for `second` of Unix time; -00:00 says that the local offset is unknown (RFC 3339 §4.3)."""
    at = time.gmtime(second)
    return (
        b'{ "time": "%04d-%02d-%02d %02d:%02d:%02d -00:00" }'
        % (at.tm_year, at.tm_mon, at.tm_mday, at.tm_hour, at.tm_min, at.tm_sec)
    )  # fmt: skip


class Clock:
    """`wall` gives Unix time in seconds."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._second = -1
        self._response = self._at(0)

    @staticmethod
    def _at(second: int) -> Response:
        return Response(body_at(second), content_type="application/json")

    def answer(self, request: Request) -> Response:  # noqa: ARG002 - whatever is asked
        """The time, now."""
        second = int(self._wall())
        if second != self._second:
            self._response = self._at(second)
            self._second = second
        return self._response


answer = Clock(time.time).answer
