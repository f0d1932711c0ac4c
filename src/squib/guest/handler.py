"""What an appliance's own code sees: `def answer(request: Request) -> Response`.

A `Response` cannot be changed once it is made, and cannot be made such that its bytes would end a header line or the answer
early. So the server trusts it, and a handler may give the same one again and again: its header lines are made once.
"""

from __future__ import annotations

from squib.guest.grammar import FIELD, TOKEN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

REASONS = {
    200: "OK", 201: "Created", 202: "Accepted", 203: "Non-Authoritative Information", 204: "No Content", 205: "Reset Content",
    300: "Multiple Choices", 301: "Moved Permanently", 302: "Found", 303: "See Other", 304: "Not Modified",
    307: "Temporary Redirect", 308: "Permanent Redirect", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden",
    404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable", 408: "Request Timeout", 409: "Conflict", 410: "Gone",
    411: "Length Required", 412: "Precondition Failed", 413: "Content Too Large", 414: "URI Too Long",
    415: "Unsupported Media Type", 416: "Range Not Satisfiable", 417: "Expectation Failed", 421: "Misdirected Request",
    422: "Unprocessable Content", 426: "Upgrade Required", 429: "Too Many Requests", 431: "Request Header Fields Too Large",
    500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
    504: "Gateway Timeout", 505: "HTTP Version Not Supported",
}  # fmt: skip

_OWN = frozenset(
    ("connection", "content-length", "content-type", "date", "keep-alive", "trailer", "transfer-encoding", "upgrade")
)
_BODILESS = frozenset((204, 205, 304))


class Request:
    """A request. It cannot be changed: a client that sends the same bytes again may give a handler the same one again."""

    __slots__ = ("_fields", "_keys", "_method", "_target")

    def __init__(self, method: str, target: str, fields: Iterable[tuple[bytes, bytes]], keys: Mapping[str, object]) -> None:
        self._method = method
        self._target = target
        self._fields = fields
        self._keys = keys

    @property
    def method(self) -> str:
        """As "GET"."""
        return self._method

    @property
    def target(self) -> str:
        """As it stood in the request line."""
        return self._target

    @property
    def keys(self) -> Mapping[str, object]:
        """The appliance's key values by name."""
        return self._keys

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """(lower-case name, value) in the order they came in; bytes above 0x7F are read as Latin-1."""
        return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in self._fields)


class Response:
    """An answer: `body` whole, `headers` as (name, value) beside those the server writes itself.

    Raises ValueError: a status outside 200..599, a name that is no token or is the server's own, a value with a control
    character or outside Latin-1, a body with a status that has none. Raises TypeError: a body that is no bytes.
    """

    __slots__ = ("_body", "_head")

    def __init__(
        self,
        body: bytes,
        content_type: str = "text/plain; charset=utf-8",
        status: int = 200,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        if not isinstance(body, bytes):
            raise TypeError(f"a body is bytes, not {type(body).__name__}")
        if not 200 <= status <= 599:
            raise ValueError(f"status {status!r} is not within 200..599")
        if body and status in _BODILESS:
            raise ValueError(f"status {status} has no body")
        lines = [f"HTTP/1.1 {int(status)} {REASONS.get(status, '')}".encode()]
        if status not in (204, 304):
            lines.append(b"content-length: %d" % len(body))
            lines.append(_line("content-type", content_type))
        for name, value in headers:
            if name.lower() in _OWN:
                raise ValueError(f"the header {name} is the server's own")
            lines.append(_line(name, value))
        self._head = b"\r\n".join(lines) + b"\r\n"
        self._body = body

    @property
    def head(self) -> bytes:
        """The status line and the header lines, with their ends, without the empty line."""
        return self._head

    @property
    def body(self) -> bytes:
        """The body."""
        return self._body


def _line(name: str, value: str) -> bytes:
    raw_name, raw_value = name.encode("latin-1"), value.encode("latin-1")  # UnicodeEncodeError is a ValueError
    if not raw_name or raw_name.translate(None, TOKEN):
        raise ValueError(f"{name!r} is no name of a header")
    if raw_value.translate(None, FIELD):
        raise ValueError(f"the header {name} has a control character in its value")
    return raw_name.lower() + b": " + raw_value.strip(b" \t")
