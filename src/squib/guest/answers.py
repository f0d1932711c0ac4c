"""The bytes of answers (RFC 9112 §§3.1, 4; RFC 9110 §6.6.1 for the date)."""

from __future__ import annotations

import time

from squib.guest.handler import REASONS, Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from squib.guest.grammar import Refusal
    from squib.guest.head import Head

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSE = b"connection: close\r\n"
KEEP_ALIVE = b"connection: keep-alive\r\n"
ALLOW = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE"
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

INTERNAL_ERROR = Response(b"Internal Server Error", status=500)


def date_line(second: int) -> bytes:
    """The header line for `second` of Unix time, with its end; IMF-fixdate, whatever the locale."""
    at = time.gmtime(second)
    day, month = _DAYS[at.tm_wday], _MONTHS[at.tm_mon - 1]
    clock = f"{at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d}"
    return f"date: {day}, {at.tm_mday:02d} {month} {at.tm_year:04d} {clock} GMT\r\n".encode()


def answer(head: Head, response: Response, date: bytes, *, keep_alive: bool) -> bytes:
    """What goes to the client for `response` to `head`; `date` as `date_line` gives it."""
    if not keep_alive:
        connection = CLOSE
    elif head.minor == 0:
        connection = KEEP_ALIVE
    else:
        connection = b""
    body = b"" if head.method == "HEAD" else response.body
    return response.head + date + connection + b"\r\n" + body


def refusal(refused: Refusal, date: bytes) -> bytes:
    """What goes to the client for a request that is refused; the connection is closed after it."""
    headers = (("allow", ALLOW),) if refused.status == 405 else ()
    response = Response(f"{REASONS[refused.status]}: {refused}\n".encode(), status=refused.status, headers=headers)
    return response.head + date + CLOSE + b"\r\n" + (b"" if refused.bodiless else response.body)
