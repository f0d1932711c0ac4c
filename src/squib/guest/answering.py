"""The appliance's handler, as the server asks it: a request in, the bytes for the client out, whatever the handler does.

Most requests are of one kind, here called usual: HTTP/1.1, no body, not HEAD, and the connection stays. What a handler
answers is never kept, but the bytes that the last answer was turned into are, for as long as it gives that one and the date
stays (docs/decisions/0012-the-usual-request.md).
"""

from __future__ import annotations

from squib.guest import answers
from squib.guest.grammar import Refusal
from squib.guest.handler import Request, Response
from squib.guest.http1 import Continue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from squib.guest.connection import Connection
    from squib.guest.head import Head, HeadReader
    from squib.guest.http1 import Event
    from squib.guest.logs import Log

    Answer = Callable[[Request], Response]

_NO_RESPONSE = Response(b"")  # no handler gives this very one


class Answering:
    """`encoded` is what a usual request gets for `response`."""

    def __init__(self, answer: Answer, keys: Mapping[str, object], log: Log) -> None:
        self.answer = answer
        self.response = _NO_RESPONSE
        self.encoded = b""
        self.log_prefix = b""
        self._keys = keys
        self._log = log
        self._second = -1
        self._date = b""

    def set_second(self, second: int) -> None:
        """It is `second` of Unix time."""
        if second != self._second:
            self._second = second
            self._date = answers.date_line(second)
            self.response = _NO_RESPONSE
            self.log_prefix = self._log.prefix(second) + b"responding to "

    def usual(self, data: bytes, reader: HeadReader) -> Request | None:
        """The request in `data`, where that is one whole usual one; `reader` is the connection's."""
        if not data.find(b"\r\n\r\n") + 4 == len(data) > 4:
            return None
        try:
            head = reader.read(data)
        except Refusal:
            return None  # who reads it anew, as anything else, says so
        if head.length or not head.keep_alive or head.minor == 0 or head.method == "HEAD":
            return None
        return Request(head.method, head.target.decode("ascii"), head, self._keys)

    def encode(self, request: Request, given: object) -> bytes:
        """What a usual request gets, where the handler gave `given`."""
        response = self._checked(request, given)
        if response is not self.response:
            self.response = response  # it cannot change
            self.encoded = response.head + self._date + b"\r\n" + response.body
        return self.encoded

    def respond(self, head: Head, number: int, *, keep_alive: bool) -> bytes:
        """Asks the handler and gives what the client of connection `number` gets."""
        request = Request(head.method, head.target.decode("ascii"), head, self._keys)
        given: object
        try:
            given = self.answer(request)
        except BaseException as error:  # noqa: BLE001 - the appliance's own code: whatever it raises, the server goes on
            given = self.failed(request, error)
        if self._log.info:
            self._log.add_raw(b"%s%d\n" % (self.log_prefix, number))
        if keep_alive and head.minor == 1 and head.method != "HEAD":
            return self.encode(request, given)
        return answers.answer(head, self._checked(request, given), self._date, keep_alive=keep_alive)

    def give(self, connection: Connection, event: Event, *, keep_alive: bool) -> bytes:
        """What the client gets for `event`; `connection.closing` is set where nothing may come behind it."""
        if isinstance(event, Continue):
            return answers.CONTINUE
        if isinstance(event, Refusal):
            connection.closing = True
            if self._log.debug:
                self._log.add(4, f"refusing {connection.number}: {event.status}: {event}")
            return answers.refusal(event, self._date)
        keep_alive = keep_alive and event.keep_alive
        connection.closing = connection.closing or not keep_alive
        return self.respond(event, connection.number, keep_alive=keep_alive)

    def failed(self, request: Request, error: BaseException) -> Response:
        """Logs what the handler raised, and gives what the client gets instead."""
        from squib.guest.raised import told

        self._log.error(f"{request.method} {request.target}: {told(error)}")
        if self._log.debug:
            import traceback

            for line in traceback.format_exception(error):
                self._log.add(4, line)
        return answers.INTERNAL_ERROR

    def _checked(self, request: Request, given: object) -> Response:
        if given is self.response or isinstance(given, Response):
            return given
        return self.failed(request, TypeError(f"the handler gave {type(given).__name__}, not a Response"))
