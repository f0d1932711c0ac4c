"""HTTP/1.1, the server's side of one connection, with no I/O: bytes in by `feed`, what they mean out by `next`.

    feed(data) … next() -> Head       a whole request: answer it
                        -> CONTINUE   answer `100 Continue`, then go on
                        -> Refusal    answer it, close; nothing comes after it
                        -> None       feed more

A request comes out once its body has been read and dropped; a mistake comes out as soon as it is there. Below the limits what
comes out does not depend on how the bytes were cut (CONTINUE apart: it is not sent to a client that does not wait for it).
Nothing but the above comes out, and nothing is raised, whatever the bytes.
"""

from __future__ import annotations

from squib.guest.body import ChunkedBody, LengthBody
from squib.guest.grammar import Refusal
from squib.guest.head import CHUNKED, Head

TYPE_CHECKING = False
if TYPE_CHECKING:
    from squib.guest.head import HeadReader
    from squib.guest.limits import Limits

IDLE = 0
IN_HEAD = 1
IN_BODY = 2
CLOSED = 3


class Continue:
    """The client waits for `100 Continue` before it sends its body."""


CONTINUE = Continue()
Event = Head | Refusal | Continue


class Http1:
    """One connection; `reader` is its own."""

    __slots__ = ("_at", "_blank_lines", "_body", "_checked", "_closed", "_data", "_head", "_limits", "_lines", "reader")

    def __init__(self, reader: HeadReader, limits: Limits) -> None:
        self.reader = reader
        self._limits = limits
        self._data = b""
        self._at = 0
        self._checked = 0  # of the head at _at: how far its lines are known to be good
        self._lines = 0
        self._blank_lines = 0
        self._head: Head | None = None
        self._body: LengthBody | ChunkedBody | None = None
        self._closed = False

    def feed(self, data: bytes) -> None:
        """Adds what the client sent. After a refusal or a last request it is dropped."""
        if self._closed:
            return
        at = self._at
        self._data = data if at == len(self._data) else self._data[at:] + data
        self._at = 0

    @property
    def phase(self) -> int:
        """IDLE (no byte of a next request is here; an empty line before it is none), IN_HEAD, IN_BODY or CLOSED."""
        if self._closed:
            return CLOSED
        if self._body is not None:
            return IN_BODY
        return IDLE if self._at == len(self._data) or self._data[self._at :] == b"\r" else IN_HEAD

    @property
    def untouched(self) -> bool:
        """Nothing has come since the last request, not even an empty line."""
        return self._at == len(self._data) and self._body is None and not self._blank_lines and not self._closed

    @property
    def kept(self) -> int:
        """How many bytes are kept of what has not come whole."""
        head = self._head
        return len(self._data) + (0 if head is None else len(head.target) + len(head.lines))

    def next(self) -> Event | None:
        """What has come in whole; see the module."""
        event = self._next()
        if event is None and self._at:
            self._data = self._data[self._at :]
            self._at = 0
        return event

    def _next(self) -> Event | None:
        if self._body is None and not self._closed:
            at, data = self._at, self._data
            if at == len(data):
                return None
            if data[at] != 0x0D:  # no empty line before the request
                end = data.find(b"\r\n\r\n", at + (self._checked and self._checked - 2))
                if end >= 0:
                    return self._take_head(end + 4)
        return self._next_slowly()

    def end(self) -> Refusal | None:
        """The client will send no more: what it left unfinished is refused (RFC 9112 §8)."""
        if self._closed or (self._body is None and not self._data[self._at :].strip(b"\r")):
            self._closed = True
            return None
        return self._refuse(Refusal(400, "the request is not whole"))

    def time_out(self) -> Refusal | None:
        """The client took too long: it is refused where it began a request."""
        if self.phase in (IDLE, CLOSED):
            self._closed = True
            return None
        return self._refuse(Refusal(408, "the request took too long"))

    def _next_slowly(self) -> Event | None:
        if self._closed:
            return None
        try:
            if self._body is not None:
                return self._read_body()
            self._skip_blank_lines()
            if self._at == len(self._data) or self._data[self._at :] == b"\r":
                return None
            end = self._data.find(b"\r\n\r\n", self._at + (self._checked and self._checked - 2))
            if end >= 0:
                return self._take_head(end + 4)
            rest = self._data[self._at :]
            self._checked, self._lines = self.reader.check_lines(rest, self._checked, self._lines)
        except Refusal as refusal:
            return self._refuse(refusal)
        return None

    def _skip_blank_lines(self) -> None:
        """RFC 9112 §2.2: at least one empty line before a request line is ignored."""
        while self._checked == 0 and self._data.startswith(b"\r\n", self._at):
            self._at += 2
            self._blank_lines += 1
            if self._blank_lines > self._limits.blank_lines:
                raise Refusal(400, "there are too many empty lines before a request")
        if self._data.startswith(b"\r", self._at) and len(self._data) - self._at > 1:
            raise Refusal(400, "a line begins with a bare CR")

    def _take_head(self, end: int) -> Event | None:
        try:
            head = self.reader.read(self._data[self._at : end])
        except Refusal as refusal:
            return self._refuse(refusal)
        self._at = end
        self._checked = self._lines = self._blank_lines = 0
        if head.length == 0:
            if not head.keep_alive:
                self._close()
            return head
        self._head = head
        self._body = ChunkedBody(self._limits) if head.length == CHUNKED else LengthBody(head.length)
        if head.awaits_continue and end == len(self._data):
            return CONTINUE
        return self._next_slowly()

    def _read_body(self) -> Event | None:
        body, head = self._body, self._head
        if body is None or head is None:
            return None
        self._at = body.take(self._data, self._at)
        if not body.done:
            return None
        self._body = self._head = None
        if not head.keep_alive:
            self._close()
        return head

    def _refuse(self, refusal: Refusal) -> Refusal:
        if self._head is not None:
            refusal.bodiless = self._head.method == "HEAD"
        else:
            refusal.bodiless = self._data.startswith(b"HEAD ", self._at)
        self._close()
        return refusal

    def _close(self) -> None:
        self._closed = True
        self._data = b""
        self._at = 0
        self._body = self._head = None
