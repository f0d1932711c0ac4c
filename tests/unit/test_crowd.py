"""Who gives way, and in which order."""

from __future__ import annotations

from squib.guest.connection import Connection
from squib.guest.crowd import PACE_BYTES, Crowd
from squib.guest.head import HeadReader
from squib.guest.http1 import Http1
from squib.guest.limits import Limits

LIMITS = Limits(connections=4, kept_bytes=1000, crowded_s=5.0)
NOW = 1000.0


def crowd(*connections: Connection) -> Crowd:
    found = Crowd(dict(enumerate(connections)), LIMITS)
    for connection in connections:
        found.settle(connection, connection.since)
    return found


def client(number: int, received: bytes = b"", out: bytes = b"", since: float = NOW) -> Connection:
    """Without a descriptor: nobody reads from it."""
    http = Http1(HeadReader(LIMITS), LIMITS)
    http.feed(received)
    assert http.next() is None
    found = Connection(-2, number, http, 0, since)
    found.out = out
    return found


def test_the_most_costly_goes_first_and_a_quarter_is_free_afterwards() -> None:
    small_and_old = client(1, b"GET /" + b"a" * 95, since=NOW - 2)
    large_and_new = client(2, b"GET /" + b"a" * 895, since=NOW - 1)
    old = client(3, b"GET /" + b"a" * 295, since=NOW - 9)
    found = crowd(small_and_old, large_and_new, old)
    assert found.kept == 1300
    assert found.to_cut_off(NOW) == [old, large_and_new]
    found.forget(old)
    assert found.to_cut_off(NOW) == [large_and_new]
    found.forget(large_and_new)
    assert found.kept == 100
    assert found.to_cut_off(NOW) == []


def test_who_takes_a_single_answer_is_spared_while_it_takes_enough() -> None:
    connection = client(1, out=b"x" * 5000, since=NOW - 10)
    found = crowd(connection)
    connection.taken = 10 * PACE_BYTES
    assert found.to_cut_off(NOW) == []
    assert found.to_cut_off(NOW + 2) == [connection]
    connection.http.feed(b"GET /")  # the next request is here: it is more than one answer
    assert found.to_cut_off(NOW) == [connection]


def test_room_for_answers_ends_with_what_is_kept() -> None:
    connection = client(1, out=b"x" * 900)
    found = crowd(connection)
    assert found.room == 100
    connection.out = b""
    found.settle(connection, NOW)
    assert (found.kept, found.room) == (0, 1000)


def test_full_is_what_descriptors_allow_for_a_while() -> None:
    found = crowd(client(1), client(2), client(3))
    assert not found.is_full(NOW)
    found.no_more_possible(NOW)
    assert found.is_full(NOW + 1)
    assert not found.is_full(NOW + 1000)
