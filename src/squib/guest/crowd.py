"""Who gives way when there are too many connections, or when too much is kept for them. It decides; the server acts.

A newcomer takes the place of the longest idle connection; where none is idle, of the one whose request or answer has been under
way longest, once that is `crowded_s`. So nobody shuts others out by holding connections.

What is kept for clients, requests that are not whole and answers that are not taken, has one bound over all connections. Over
it those are cut off first that cost most: bytes kept, times the seconds since. Whoever waits for a single answer is spared
while it takes `PACE_BYTES` a second: how large answers are is the appliance's own choice.
"""

from __future__ import annotations

from squib.guest.http1 import IDLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from squib.guest.connection import Connection
    from squib.guest.limits import Limits

PACE_BYTES = 16 * 1024
_LOWERED_S = 60.0


class Crowd:
    """Of all `connections`; `kept` are the bytes that are kept for them."""

    def __init__(self, connections: Mapping[int, Connection], limits: Limits) -> None:
        self.kept = 0
        self._connections = connections
        self._limits = limits
        self._possible = limits.connections
        self._possible_until = 0.0

    def is_full(self, now: float) -> bool:
        """Whether somebody has to leave before another one comes in."""
        possible = self._possible if now < self._possible_until else self._limits.connections
        return len(self._connections) >= possible

    def no_more_possible(self, now: float) -> None:
        """There was no descriptor for one more: for a while it is full with as many as there are, and idle ones give way."""
        self._possible = max(1, len(self._connections))
        self._possible_until = now + _LOWERED_S

    @property
    def room(self) -> int:
        """How many bytes of answers may be made for a client before it takes them; one answer always may."""
        return min(self._limits.output_bytes, self._limits.kept_bytes - self.kept)

    def settle(self, connection: Connection, now: float) -> bool:
        """Counts what is kept for `connection` now; whether somebody has to be cut off for it."""
        kept = len(connection.out) + connection.http.kept
        more = kept - connection.kept
        if not connection.kept:
            connection.begin(now)
        connection.kept = kept
        self.kept += more
        return more > 0 and self.kept > self._limits.kept_bytes

    def forget(self, connection: Connection) -> None:
        """It is closed."""
        self.kept -= connection.kept
        connection.kept = 0

    def leavers(self, now: float, received: Callable[[Connection, bytes], None]) -> Iterator[Connection]:
        """Who gives way to newcomers, one after the other; where something has come in the meantime, `received` gets that."""
        found: list[tuple[bool, float, int, Connection]] = []
        for connection in self._connections.values():
            idle, since = self._idle_since(connection)
            if idle or (now - since >= self._limits.crowded_s and not connection.unfinished):
                found.append((not idle, since, connection.number, connection))
        found.sort()
        for *_, connection in found:
            data = None if connection.fd < 0 or connection.out else connection.read()
            if data is not None:
                received(connection, data)
            elif connection.fd >= 0:
                yield connection

    def to_cut_off(self, now: float) -> list[Connection]:
        """Who has to go so that what is kept is within its bound, and a quarter below: the next look is not at once."""
        found = [
            ((now - one.since + self._limits.tick_s) * one.kept, one.number, one)
            for one in self._connections.values()
            if one.kept and not _takes_its_answer(one, now)
        ]
        found.sort()
        left, chosen = self.kept, []
        while found and left > self._limits.kept_bytes * 3 // 4:
            one = found.pop()[-1]
            left -= one.kept
            chosen.append(one)
        return chosen

    def _idle_since(self, connection: Connection) -> tuple[bool, float]:
        """Whether nothing of a request is here and no answer is to be taken, and since when it is as it is."""
        if connection.lingering:
            return True, connection.deadline - self._limits.linger_s
        if connection.http.phase == IDLE and not connection.out and not connection.unfinished:
            return True, max(connection.opened, connection.deadline - self._limits.idle_s)
        return False, connection.since


def _takes_its_answer(connection: Connection, now: float) -> bool:
    pace = connection.taken + PACE_BYTES >= PACE_BYTES * (now - connection.since)  # at first nobody has taken much
    return pace and bool(connection.out) and not connection.http.kept
