"""The server: one thread, one epoll loop over listeners and connections.

Its rules: no client makes another wait (at most one read, one batch of requests and one write for each in a turn); what
clients can make it keep is bounded (nothing is read from a client whose answers are not taken, and all of them share one
budget: squib.guest.crowd); every wait has a deadline.
epoll is level-triggered: what a turn leaves unread comes up in the next turn, so that the bound on a turn costs no
bookkeeping, and a connection is changed in epoll only when it has to wait for its client to read.

Most of what comes is one whole request of a client that has nothing else to be answered. `_serve` does that from the read to
the write with no call between but the handler's; all else goes the long way, through the connection's `Http1`, which finds
what it would have found without the short one (docs/decisions/0012-the-usual-request.md).
"""

from __future__ import annotations

import os
import select
import time

from squib.guest import http1
from squib.guest.answering import Answering
from squib.guest.connection import KNOWN_BYTES, READ_BYTES, Connection
from squib.guest.crowd import Crowd
from squib.guest.deadlines import Wheel
from squib.guest.door import Door
from squib.guest.head import HeadReader
from squib.guest.http1 import Http1

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable, Mapping, Sequence

    from squib.guest.answering import Answer
    from squib.guest.limits import Limits
    from squib.guest.logs import Logs

_IN, _OUT = select.EPOLLIN, select.EPOLLOUT
_READS_A_LAST_TURN = 16
_ACCEPTS_A_TURN = 64


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
        self._limits = limits
        self._logs = logs
        self._log = logs.source("http")
        self._wall = wall
        self._now = time.monotonic()
        self._idle_by = self._now + limits.idle_s
        self._wheel = Wheel(limits.tick_s, self._now)
        self._answering = Answering(answer, keys, self._log)
        self._epoll = select.epoll()
        self._wake_read, self.wake_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._door = Door(listeners, self._epoll, self._log)
        self._connections: dict[int, Connection] = {}
        self._crowd = Crowd(self._connections, limits)
        self._unfinished: list[Connection] = []
        self._count = 0
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
        self._door.open()
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
        self._answering.set_second(int(self._wall()))
        if self._unfinished:
            unfinished, self._unfinished = self._unfinished, []
            for connection in unfinished:
                connection.unfinished = False
                if connection.fd >= 0:
                    self._process(connection)
                    self._settle(connection)
        self._serve(events)
        if self._now >= self._wheel.next_at:
            self._expire()
        self._logs.flush()

    def _timeout(self) -> float:
        if self._unfinished:
            return 0
        return self._limits.tick_s if self._connections or not self._door.is_open else -1

    def _serve(self, events: Sequence[tuple[int, int]]) -> None:  # noqa: C901, PLR0912 - a call costs
        """Does what each of a turn's events asks for; the usual kind of request here and at once."""
        asked = self._answering
        connections, answer, idle_by = self._connections, asked.answer, self._idle_by
        read, write = os.read, os.write
        log = self._log.add_raw if self._log.info else None
        response, encoded = asked.response, asked.encoded
        for fd, mask in events:
            connection = connections.get(fd)
            if connection is None or not connection.resting:
                self._other_event(fd, mask, connection)
                continue
            try:
                data = read(fd, READ_BYTES)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            request = connection.request if data == connection.known else None
            if request is None:
                request = asked.usual(data, connection.http.reader)
                if request is None:
                    self._received(connection, data)
                    continue
                if len(data) <= KNOWN_BYTES:
                    connection.known, connection.request = data, request
            try:
                given = answer(request)
            except BaseException as error:  # noqa: BLE001 - the appliance's own code: whatever it raises, the server goes on
                given = asked.failed(request, error)
            if given is not response:
                encoded = asked.encode(request, given)
                response = asked.response
            if log is not None:
                log(b"%s%d\n" % (asked.log_prefix, connection.number))
            try:
                sent = write(fd, encoded)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._close(connection)
                continue
            if sent < len(encoded):
                self._stalled(connection, encoded[sent:])
            elif connection.looked_at <= idle_by:
                connection.deadline = idle_by  # what Wheel.set would do
            else:
                self._wheel.set(connection, idle_by)

    def _other_event(self, fd: int, mask: int, connection: Connection | None) -> None:
        if connection is None:
            if fd == self._wake_read:
                os.read(fd, 64)
            elif self._door.is_open and fd in self._door.listeners:  # else it was closed in this turn
                self._accept(fd)
        elif connection.out:
            self._writable(connection, mask)
        elif not connection.unfinished:  # else its next requests are here already, and come first
            data = connection.read()
            if data is not None:
                self._received(connection, data)

    def _accept(self, listener_fd: int) -> bool:
        """Whether more may wait."""
        leavers = self._crowd.leavers(self._now, self._received)
        for _ in range(_ACCEPTS_A_TURN):
            full = self._crowd.is_full(self._now)
            leaver = next(leavers, None) if full else None
            if full and leaver is None:
                self._door.shut()
                return False
            fd = self._door.accept(listener_fd, self._now)
            if fd is None:
                if not self._door.is_open and (leaver := leaver or next(leavers, None)):  # no descriptor is left for it
                    self._close(leaver)
                    self._crowd.no_more_possible(self._now)
                return False
            if leaver is not None:
                self._close(leaver)
            self._admit(fd)
        return True

    def _admit(self, fd: int) -> None:
        self._count += 1
        connection = Connection(fd, self._count, Http1(HeadReader(self._limits), self._limits), _IN, self._now)
        self._connections[fd] = connection
        self._epoll.register(fd, _IN)
        self._wheel.set(connection, self._now + self._limits.head_s)

    def _received(self, connection: Connection, data: bytes) -> None:
        """b"" is the end of what the client sends."""
        connection.resting = False
        if data:
            if not connection.lingering:
                connection.http.feed(data)
                self._process(connection)
                self._settle(connection)
            return
        connection.ended = True
        refusal = None if connection.lingering else connection.http.end()
        if refusal is None:
            self._close(connection)
        else:
            self._send(connection, self._answering.give(connection, refusal, keep_alive=False))

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
        pieces: list[bytes] = []
        size, room = 0, self._crowd.room
        while event is not None:
            pieces.append(self._answering.give(connection, event, keep_alive=True))
            size += len(pieces[-1])
            if len(pieces) >= self._limits.requests_a_turn or size >= room:
                connection.unfinished = True
                self._unfinished.append(connection)
                break
            event = http.next()
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
                    pieces.append(self._answering.give(connection, held, keep_alive=True))
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
            pieces.append(self._answering.give(connection, held, keep_alive=not last))
            connection.closing = connection.closing or last
        if more:
            connection.unfinished = True
            self._unfinished.append(connection)
        if pieces:
            self._send(connection, b"".join(pieces))
        elif not more:
            self._wait(connection)

    def _send(self, connection: Connection, data: bytes) -> None:
        if connection.write(data):
            self._after_write(connection)
        else:
            self._close(connection)

    def _writable(self, connection: Connection, mask: int) -> None:
        if mask & (select.EPOLLERR | select.EPOLLHUP) or not connection.write(connection.out):
            self._close(connection)
            return
        self._after_write(connection)
        if not connection.out:
            self._process(connection)
        self._settle(connection)

    def _stalled(self, connection: Connection, rest: bytes) -> None:
        """The client of a usual request does not take its answer."""
        connection.resting = False
        connection.out = rest
        self._after_write(connection)
        self._settle(connection)

    def _settle(self, connection: Connection) -> None:
        """Counts what is kept for it; where that is too much for all, some are cut off."""
        if connection.fd >= 0 and self._crowd.settle(connection, self._now):
            self._cut_off()

    def _cut_off(self) -> None:
        for connection in self._crowd.to_cut_off(self._now):
            self._close(connection)

    def _after_write(self, connection: Connection) -> None:
        if connection.out:
            self._watch(connection, _OUT)
            self._wheel.set(connection, self._now + self._limits.write_s)
            return
        if connection.mask != _IN:
            self._watch(connection, _IN)
        connection.begin(self._now)
        if not connection.closing:
            connection.phase = http1.CLOSED  # whatever was begun has a deadline of its own from here
            self._wait(connection)
        elif connection.ended:
            self._close(connection)
        else:
            connection.lingering = True
            connection.finish_writing()
            self._wheel.set(connection, self._now + self._limits.linger_s)

    def _wait(self, connection: Connection) -> None:
        """Sets the deadline for what the client has to do next."""
        http = connection.http
        phase = http.phase
        if phase == http1.IDLE:
            if self._stopping and not connection.unfinished:
                self._close(connection)
                return
            connection.resting = http.untouched and not self._stopping
        if phase != connection.phase:  # else what came is no reason to wait longer
            limits = self._limits
            seconds = limits.idle_s if phase == http1.IDLE else limits.body_s if phase == http1.IN_BODY else limits.head_s
            self._wheel.set(connection, self._now + seconds)
            connection.phase = phase

    def _watch(self, connection: Connection, mask: int) -> None:
        if connection.mask != mask:
            connection.mask = mask
            self._epoll.modify(connection.fd, mask)

    def _close(self, connection: Connection) -> None:
        if self._connections.pop(connection.fd, None) is None:
            return
        self._wheel.forget(connection)
        self._crowd.forget(connection)
        os.close(connection.fd)
        connection.fd = -1  # the next client may have the number
        if not self._stopping:
            self._door.open()

    def _expire(self) -> None:
        for connection in self._wheel.due(self._now):
            if isinstance(connection, Connection):
                self._time_out(connection)
        if self._crowd.kept > self._limits.kept_bytes:
            self._cut_off()
        if not self._stopping:
            self._door.open_again(self._now)  # where it is full, too: by now somebody may give way

    def _time_out(self, connection: Connection) -> None:
        connection.resting = False
        refusal = None if connection.out or connection.lingering else connection.http.time_out()
        if refusal is None:
            self._close(connection)
        else:
            self._send(connection, self._answering.give(connection, refusal, keep_alive=False))

    def _begin_stop(self) -> None:
        self._stop_by = self._now + self._limits.stop_s
        for fd in self._door.listeners:
            while self._door.is_open and self._accept(fd):
                pass  # closing a listener resets who waits in its backlog
        self._stopping = True
        self._door.close()
        for connection in list(self._connections.values()):
            connection.resting = False
            self._process(connection)  # answers what has come in since this turn's events, and closes what is idle
        self._logs.flush()

    def _close_all(self) -> None:
        for connection in list(self._connections.values()):
            self._close(connection)
        self._door.close()
        self._epoll.close()
        os.close(self._wake_read)
        os.close(self.wake_fd)
        self._logs.flush()
