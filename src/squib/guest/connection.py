"""One client's connection as the server's loop keeps it: its descriptor, its protocol, and what could not be written yet."""

from __future__ import annotations

import _socket
import os

from squib.guest.deadlines import Timed
from squib.guest.http1 import IDLE, Http1

TYPE_CHECKING = False
if TYPE_CHECKING:
    from squib.guest.handler import Request

KNOWN_BYTES = 1024  # of a request; a longer one is read anew each time
READ_BYTES = 32 * 1024  # at 64 KiB and over, malloc tidies its heap each time one is freed


class Connection(Timed):
    """`number` counts from 1, `opened` is when it was accepted.

    `out` waits to be written; `closing`: the last answer is in it; `lingering`: it is sent.

    `resting`: nothing was begun, nothing waits, and nothing but a request, its end or its deadline can come of it next.

    `ended`: the client sends no more. `unfinished`: whole requests wait for the next turn. `phase` is the protocol's when its
    deadline was set; `mask` what epoll watches for.

    `known` are the bytes of its last usual request, and `request` what they mean: that depends on them alone, and a client
    that keeps its connection sends the same ones again. They go with the connection, and no other one sees them.

    `kept` bytes of its requests and answers are counted (squib.guest.crowd); its request, or its answer, has been under way
    `since` then, and `taken` bytes of the answer were written.
    """

    __slots__ = (
        "closing", "ended", "fd", "http", "kept", "known", "lingering", "mask", "number", "opened", "out", "phase", "request",
        "resting", "since", "taken", "unfinished",
    )  # fmt: skip

    def __init__(self, fd: int, number: int, http: Http1, mask: int, now: float) -> None:
        super().__init__()
        self.opened = now
        self.kept = 0
        self.begin(now)
        self.fd = fd
        self.number = number
        self.http = http
        self.known = b""
        self.request: Request | None = None
        self.mask = mask
        self.out = b""
        self.phase = IDLE
        self.closing = False
        self.ended = False
        self.lingering = False
        self.resting = True
        self.unfinished = False

    def begin(self, now: float) -> None:
        """A request, or its answer, is under way from `now` on."""
        self.since = now
        self.taken = 0

    def read(self) -> bytes | None:
        """What has come; b"" at the end, also where the connection broke; None where nothing has."""
        try:
            return os.read(self.fd, READ_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            self.out = b""
            return b""

    def write(self, data: bytes) -> bool:
        """Sends `data` and keeps in `out` what does not fit; False where the connection broke."""
        try:
            sent = os.write(self.fd, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return False
        self.taken += sent
        self.out = b"" if sent == len(data) else data[sent:]
        return True

    def finish_writing(self) -> None:
        """Tells the client that no more comes, while what it still sends is read.

        A close with unread bytes would be a reset, which can take the last answer from the client (RFC 9112 §9.6).
        """
        sock = _socket.socket(fileno=self.fd)
        try:
            sock.shutdown(_socket.SHUT_WR)
        except OSError:
            pass  # the client is gone: the next read says so
        finally:
            sock.detach()
