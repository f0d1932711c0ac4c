"""The server: one thread, one epoll loop over listeners and connections.

Its rules: no client makes another wait (at most one read, one batch of requests and one write for each in a turn); what a
client can make it keep is bounded (nothing is read from a client whose answers are not taken); every wait has a deadline.
epoll is level-triggered: what a turn leaves unread comes up in the next turn, so that the bound on a turn costs no
bookkeeping, and a connection is changed in epoll only when it has to wait for its client to read.
"""

from __future__ import annotations

import errno
import os
import select
import time

from squib.guest import answers, http1
from squib.guest.connection import Connection
from squib.guest.deadlines import Wheel
from squib.guest.grammar import Refusal
from squib.guest.handler import Request, Response
from squib.guest.head import Head, HeadReader
from squib.guest.http1 import Http1

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable, Mapping, Sequence

    from squib.guest.limits import Limits
    from squib.guest.logs import Logs

    Answer = Callable[[Request], Response]

_IN, _OUT = select.EPOLLIN, select.EPOLLOUT
_ACCEPTS_A_TURN = 64
_READS_A_LAST_TURN = 16
_PAUSE_S = 0.5  # how long no connection is accepted when there is no descriptor or memory for it
_NO_RESPONSE = Response(b"")  # no handler gives this very one
_EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


class Server:
    """`answer` is the appliance's handler, `keys` its key values; the listeners become the server's own and it closes them."""

    def __init__(
        self,
        answer: Answer,
        keys: Mapping[str, object],
        listeners: Sequence[socket],
        *,
        limits: Limits,
        logs: Logs,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._answer = answer
        self._keys = keys
        self._limits = limits
        self._logs = logs
        self._log = logs.source("http")
        self._wall = wall
        self._second = -1
        self._date = b""
        self._log_prefix = b""
        self._now = time.monotonic()
        self._idle_by = self._now + limits.idle_s
        self._wheel = Wheel(limits.tick_s, self._now)
        self._reader = HeadReader(limits)
        self._epoll = select.epoll()
        self._wake_read, self.wake_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._connections: dict[int, Connection] = {}
        self._response = _NO_RESPONSE  # the last one that a handler gave, and
        self._encoded = b""  # its bytes to most requests, with the date of this second
        self._unfinished: list[Connection] = []
        self._count = 0
        self._accepting = False
        self._paused_until = 0.0
        self._stops = 0  # changes between any two bytecodes
        self._stopping = False  # changes between two turns
        self._stop_by = 0.0

    def request_stop(self) -> None:
        """First: finish what is in flight, at most `stop_s`. Second: end now. May be called by a signal's handler."""
        self._stops += 1
        try:
            os.write(self.wake_fd, b"s")
        except OSError:
            return  # full: it will wake up anyway

    def run(self, on_ready: Callable[[], None]) -> None:
        """Serves until it is asked to stop and has finished, or may wait no longer. Calls `on_ready` right before its loop."""
        self._epoll.register(self._wake_read, _IN)
        self._accept_again()
        on_ready()
        try:
            while self._stops == 0:
                self._turn()
            self._begin_stop()
            while self._stops == 1 and self._connections and self._now < self._stop_by:
                self._turn()
            cut_off = sum(not connection.lingering for connection in self._connections.values())
            if cut_off:
                self._log.warning(f"stopped with {cut_off} connections cut off")
        finally:
            self._close_all()

    def _turn(self) -> None:
        events = self._epoll.poll(self._timeout())
        self._now = time.monotonic()
        self._idle_by = self._now + self._limits.idle_s
        second = int(self._wall())
        if second != self._second:
            self._second = second
            self._date = answers.date_line(second)
            self._response = _NO_RESPONSE
            self._log_prefix = self._log.prefix(second) + b"responding to "
        if self._unfinished:
            unfinished, self._unfinished = self._unfinished, []
            for connection in unfinished:
                connection.unfinished = False
                if connection.fd >= 0:
                    self._process(connection)
        connections = self._connections
        for fd, mask in events:
            connection_or_none = connections.get(fd)
            if connection_or_none is None:
                self._other_event(fd)
            elif connection_or_none.out:
                self._writable(connection_or_none, mask)
            elif not connection_or_none.unfinished:  # else its next requests are here already, and come first
                self._readable(connection_or_none)
        self._expire()
        self._logs.flush()

    def _timeout(self) -> float:
        if self._unfinished:
            return 0
        return self._limits.tick_s if self._connections or not self._accepting else -1

    def _other_event(self, fd: int) -> None:
        if fd == self._wake_read:
            os.read(fd, 64)
        elif fd in self._listeners and self._accepting:
            self._accept(self._listeners[fd])

    # Accepting

    def _accept(self, listener: socket) -> bool:
        """Whether more may wait."""
        for _ in range(_ACCEPTS_A_TURN):
            if len(self._connections) >= self._limits.connections:
                self._stop_accepting()
                return False
            try:
                # What socket.accept is made of, without its imports; typeshed does not list it.
                fd, _address = listener._accept()  # type: ignore[attr-defined]  # noqa: SLF001
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._pause(error)
                    return False
                continue  # this one client is gone (accept(2): ECONNABORTED, EPROTO …)
            os.set_blocking(fd, False)
            self._count += 1
            connection = Connection(fd, self._count, Http1(self._reader, self._limits), _IN)
            self._connections[fd] = connection
            self._epoll.register(fd, _IN)
            self._wheel.set(connection, self._now + self._limits.head_s)
        return True

    def _pause(self, error: OSError) -> None:
        """A listener that cannot be accepted from stays readable: watching it would spin."""
        self._stop_accepting()
        self._paused_until = self._now + _PAUSE_S
        self._log.warning(f"accepting no connections for a moment: {error.strerror}")

    def _stop_accepting(self) -> None:
        if self._accepting:
            self._accepting = False
            for fd in self._listeners:
                self._epoll.unregister(fd)

    def _accept_again(self) -> None:
        if not self._accepting:
            self._accepting = True
            for fd in self._listeners:
                self._epoll.register(fd, _IN)

    # One connection

    def _readable(self, connection: Connection) -> None:
        data = connection.read()
        if data:
            if not connection.lingering:
                connection.http.feed(data)
                self._process(connection)
            return
        if data is None:
            return
        connection.ended = True
        refusal = None if connection.lingering else connection.http.end()
        if refusal is None:
            self._close(connection)
        else:
            self._send(connection, self._refuse(connection, refusal))

    def _process(self, connection: Connection) -> None:
        """Answers what has come in whole, in order, in one write."""
        if connection.fd < 0 or connection.out or connection.closing:
            return
        if self._stopping:
            self._process_last(connection)
            return
        http = connection.http
        event = http.next()
        if event is None:
            self._wait(connection)
            return
        if isinstance(event, Head) and http.phase == http1.IDLE:  # most requests have nothing behind them
            self._send_all(connection, self._respond(connection, event, keep_alive=True))
            return
        out = self._out_for(connection, event, keep_alive=True)
        pieces, size = [out], len(out)
        while (event := http.next()) is not None:
            pieces.append(self._out_for(connection, event, keep_alive=True))
            size += len(pieces[-1])
            if len(pieces) >= self._limits.requests_a_turn or size >= self._limits.output_bytes:
                connection.unfinished = True
                self._unfinished.append(connection)
                break
        self._send(connection, b"".join(pieces))

    def _process_last(self, connection: Connection) -> None:
        """While stopping: all that was received is answered, and the last answer says that the connection ends."""
        http = connection.http
        pieces: list[bytes] = []
        held: http1.Event | None = None
        size = reads = 0
        more = True
        while more and size < self._limits.output_bytes and reads < _READS_A_LAST_TURN:
            event = http.next()
            if event is not None:
                if held is not None:
                    pieces.append(self._out_for(connection, held, keep_alive=True))
                    size += len(pieces[-1])
                held = event
                continue
            data = None if connection.ended or http.phase == http1.CLOSED else connection.read()
            connection.ended = connection.ended or data == b""
            reads += 1
            more = bool(data)
            http.feed(data or b"")
        last = not more and http.phase in (http1.IDLE, http1.CLOSED)
        if held is not None:
            pieces.append(self._out_for(connection, held, keep_alive=not last))
            connection.closing = connection.closing or last
        if more:
            connection.unfinished = True
            self._unfinished.append(connection)
        if pieces:
            self._send(connection, b"".join(pieces))
        elif not more:
            self._wait(connection)

    def _out_for(self, connection: Connection, event: http1.Event, *, keep_alive: bool) -> bytes:
        if isinstance(event, Head):
            return self._respond(connection, event, keep_alive=keep_alive and event.keep_alive)
        if isinstance(event, Refusal):
            return self._refuse(connection, event)
        return answers.CONTINUE

    def _respond(self, connection: Connection, head: Head, *, keep_alive: bool) -> bytes:
        request = Request(head.method, head.target.decode("ascii"), head.fields, self._keys)
        try:
            response = self._answer(request)
            if response is not self._response and not isinstance(response, Response):
                raise TypeError(f"the handler gave {type(response).__name__}, not a Response")  # noqa: TRY301 - one way to fail
        except BaseException as error:  # noqa: BLE001 - the appliance's own code: whatever it raises, the server goes on
            self._log_failure(request, error)
            response = answers.INTERNAL_ERROR
        if self._log.info:
            self._log.add_raw(b"%s%d\n" % (self._log_prefix, connection.number))
        if not keep_alive:
            connection.closing = True
        elif head.minor == 1 and head.method != "HEAD":
            if response is not self._response:
                self._response = response  # it cannot change
                self._encoded = answers.answer(head, response, self._date, keep_alive=True)
            return self._encoded
        return answers.answer(head, response, self._date, keep_alive=keep_alive)

    def _log_failure(self, request: Request, error: BaseException) -> None:
        self._log.error(f"{request.method} {request.target}: {type(error).__name__}: {error}".replace("\n", " "))
        if self._log.debug:
            import traceback

            for line in traceback.format_exception(error):
                self._log.add(4, line)

    def _refuse(self, connection: Connection, refusal: Refusal) -> bytes:
        connection.closing = True
        if self._log.debug:
            self._log.add(4, f"refusing {connection.number}: {refusal.status}: {refusal}")
        return answers.refusal(refusal, self._date)

    def _send(self, connection: Connection, data: bytes) -> None:
        if connection.write(data):
            self._after_write(connection)
        else:
            self._close(connection)

    def _send_all(self, connection: Connection, data: bytes) -> None:
        """`_send` where the client has nothing more to be answered."""
        if not connection.write(data):
            self._close(connection)
        elif connection.out:
            self._after_write(connection)
        else:
            connection.phase = http1.IDLE
            self._wait_for_a_request(connection)

    def _writable(self, connection: Connection, mask: int) -> None:
        if mask & (select.EPOLLERR | select.EPOLLHUP) or not connection.write(connection.out):
            self._close(connection)
            return
        self._after_write(connection)
        if not connection.out:
            self._process(connection)

    def _after_write(self, connection: Connection) -> None:
        if connection.out:
            self._watch(connection, _OUT)
            self._wheel.set(connection, self._now + self._limits.write_s)
            return
        if connection.mask != _IN:
            self._watch(connection, _IN)
        if not connection.closing:
            connection.phase = http1.IDLE  # whatever was begun has a deadline of its own from here
            self._wait(connection)
        elif connection.ended:
            self._close(connection)
        else:
            connection.lingering = True
            connection.finish_writing()
            self._wheel.set(connection, self._now + self._limits.linger_s)

    def _wait(self, connection: Connection) -> None:
        """Sets the deadline for what the client has to do next."""
        phase = connection.http.phase
        if phase == http1.IDLE:
            if self._stopping and not connection.unfinished:
                self._close(connection)
                return
            self._wait_for_a_request(connection)
        elif phase != connection.phase:
            seconds = self._limits.body_s if phase == http1.IN_BODY else self._limits.head_s
            self._wheel.set(connection, self._now + seconds)
        connection.phase = phase

    def _wait_for_a_request(self, connection: Connection) -> None:
        if connection.looked_at <= self._idle_by:
            connection.deadline = self._idle_by  # what Wheel.set would do
        else:
            self._wheel.set(connection, self._idle_by)

    def _watch(self, connection: Connection, mask: int) -> None:
        if connection.mask != mask:
            connection.mask = mask
            self._epoll.modify(connection.fd, mask)

    def _close(self, connection: Connection) -> None:
        if self._connections.pop(connection.fd, None) is None:
            return
        self._wheel.forget(connection)
        os.close(connection.fd)
        connection.fd = -1  # the next client may have the number
        if not self._accepting and not self._stopping:
            self._accept_again()

    # Time

    def _expire(self) -> None:
        for connection in self._wheel.due(self._now):
            if isinstance(connection, Connection):
                self._time_out(connection)
        if self._accepting or self._stopping or self._now < self._paused_until:
            return
        if len(self._connections) < self._limits.connections:
            self._accept_again()

    def _time_out(self, connection: Connection) -> None:
        refusal = None if connection.out or connection.lingering else connection.http.time_out()
        if refusal is None:
            self._close(connection)
        else:
            self._send(connection, self._refuse(connection, refusal))

    # The end

    def _begin_stop(self) -> None:
        self._stop_by = self._now + self._limits.stop_s
        for listener in self._listeners.values():
            while self._accepting and self._accept(listener):
                pass  # closing a listener resets who waits in its backlog
        self._stopping = True
        self._stop_accepting()
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()
        for connection in list(self._connections.values()):
            self._process(connection)  # answers what has come in since this turn's events, and closes what is idle
        self._logs.flush()

    def _close_all(self) -> None:
        for connection in list(self._connections.values()):
            self._close(connection)
        for listener in self._listeners.values():
            listener.close()
        self._epoll.close()
        os.close(self._wake_read)
        os.close(self.wake_fd)
        self._logs.flush()
