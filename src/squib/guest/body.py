"""A request's body is read by its framing and dropped (RFC 9112 §§6.2, 7.1).

`take(data, at)` gives the offset up to which it has read; `done` says that the body is over. What it leaves is wanted again
with more behind it, and is bounded. Raises Refusal.
"""

from __future__ import annotations

from squib.guest.grammar import Refusal, chunk_size, field_line, partial_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from squib.guest.limits import Limits


class LengthBody:
    """`length` bytes."""

    __slots__ = ("_left", "done")

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = length == 0

    def take(self, data: bytes, at: int) -> int:
        """See the module."""
        count = min(self._left, len(data) - at)
        self._left -= count
        self.done = self._left == 0
        return at + count


class ChunkedBody:
    """Chunks, then trailers, which are checked and never read: a Host or a Content-Length among them means nothing."""

    __slots__ = ("_extension_bytes", "_left", "_limits", "_step", "_total", "_trailer_bytes", "_trailers", "done")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._step = self._size
        self._left = 0
        self._total = 0
        self._extension_bytes = 0
        self._trailer_bytes = 0
        self._trailers = 0
        self.done = False

    def take(self, data: bytes, at: int) -> int:
        """See the module."""
        while not self.done:
            after = self._step(data, at)
            if after < 0:
                break
            at = after
        return at

    def _size(self, data: bytes, at: int) -> int:
        """A chunk's first line. Gives -1, as all steps do, where more is needed."""
        end = self._line_end(data, at, self._limits.chunk_line_bytes, 400)
        if end < 0:
            return -1
        size, extension_bytes = chunk_size(data[at:end])
        self._extension_bytes += extension_bytes
        if self._extension_bytes > self._limits.chunk_extension_bytes:
            raise Refusal(400, "the chunk extensions are too long")
        self._total += size
        if self._total > self._limits.body_bytes:
            raise Refusal(413, "the body is too large")
        self._left = size
        self._step = self._data if size else self._trailer
        return end + 2

    def _data(self, data: bytes, at: int) -> int:
        count = min(self._left, len(data) - at)
        self._left -= count
        if self._left == 0:
            self._step = self._data_end
        elif count == 0:
            return -1
        return at + count

    def _data_end(self, data: bytes, at: int) -> int:
        found = data[at : at + 2]
        if not b"\r\n".startswith(found):
            raise Refusal(400, "a chunk is longer than it said")
        if len(found) < 2:
            return -1
        self._step = self._size
        return at + 2

    def _trailer(self, data: bytes, at: int) -> int:
        end = self._line_end(data, at, self._limits.trailer_bytes - self._trailer_bytes, 431)
        if end < 0:
            return -1
        if end == at:
            self.done = True
        else:
            field_line(data[at:end])
            self._trailer_bytes += end + 2 - at
            self._trailers += 1
            if self._trailers > self._limits.header_fields:
                raise Refusal(431, "there are too many trailer lines")
        return end + 2

    @staticmethod
    def _line_end(data: bytes, at: int, limit: int, status: int) -> int:
        """Where the CRLF of the line at `at` is, or -1; refuses a longer line than `limit`, and what no line can hold."""
        end = data.find(b"\r\n", at, at + limit + 2)
        if end < 0:
            rest = data[at : at + limit + 2]
            partial_line(rest)
            if len(rest) > limit + 1:
                raise Refusal(status, "a line of the body is too long")
        return end
