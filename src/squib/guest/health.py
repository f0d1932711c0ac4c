"""The health process: asks the server over loopback, again and again, and reports each answer to PID 1 through a pipe.

It has no more privileges than the server, sleeps between two checks, and decides nothing: `supervisor` counts. Its own death
or silence harms nobody (PID 1 starts another one). Sockets only: an HTTP client would cost more to import than PID 1 does.
"""

from __future__ import annotations

import _socket
import os
import time
from _socket import socket

from squib.guest import server_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from squib.guest.spec import Health

    Address = tuple[str, int]

RECORD_BYTES = 16
"""A report is a word of ASCII, filled with spaces to this length, so that pipe reads never cut one."""
FIRST_PAUSE_MS = 1_000
"""Between two checks until the first good one, where the interval is longer: a machine is ready when it answers, not later."""
ANSWER_BYTES = 1 << 20
"""What is read of an answer; the rest does not matter."""

OK, TIMEOUT, REFUSED, CLOSED, NO_HTTP = "ok", "timeout", "refused", "closed", "not-http"
_OUTCOMES = (OK, TIMEOUT, REFUSED, CLOSED, NO_HTTP)
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what a listener may be bound to


class HealthProcess:
    """A started health process: its `pid`, and `report_fd`, which is readable when it reports or is gone."""

    __slots__ = ("pid", "report_fd")

    def __init__(self, pid: int, report_fd: int) -> None:
        self.pid = pid
        self.report_fd = report_fd

    def read_reports(self) -> list[str]:
        """The outcomes that it reports, once `report_fd` is readable; none: it is gone, or says what is no outcome."""
        data = os.read(self.report_fd, 16 * RECORD_BYTES).decode("ascii", "replace")
        said = [data[at : at + RECORD_BYTES].strip() for at in range(0, len(data), RECORD_BYTES)]
        return said if all(map(is_outcome, said)) else []


def start(health: Health, listener: socket, output_fd: int) -> HealthProcess:
    """Forks the process that asks the server behind `listener`. Raises OSError. Runs in PID 1; the rest, in the process."""
    address = reachable(listener)
    return HealthProcess(*server_process.fork(lambda report_fd: run(health, address, report_fd), (), output_fd))


def is_outcome(said: str) -> bool:
    """Whether docs/guest-abi.md has it: PID 1 believes nobody, and passes on nothing else."""
    status, _, number = said.partition(":")
    return said in _OUTCOMES or (status == "status" and len(number) == 3 and number.isdigit() and number.isascii())


def reachable(listener: socket) -> Address:
    """Where the TCP listener can be asked from inside the machine."""
    ip, port = listener.getsockname()[:2]
    return _ANY.get(ip, ip), port


def run(health: Health, address: Address, report_fd: int) -> int:
    """Checks and reports for ever; returns where nobody reads the reports any more."""
    pause_ms = min(health.interval_ms, FIRST_PAUSE_MS)
    while True:
        outcome = check(address, health.path, health.timeout_ms / 1000)
        try:
            os.write(report_fd, outcome.encode("ascii").ljust(RECORD_BYTES))
        except OSError:
            return 0
        if outcome == OK:
            pause_ms = health.interval_ms
        time.sleep(pause_ms / 1000)


def check(address: Address, path: str, timeout_s: float) -> str:
    """One GET of `path`, answered in whole within `timeout_s`: OK for status 2xx and 3xx, else what was wrong. Never raises."""
    deadline = time.monotonic() + timeout_s
    family = _socket.AF_INET6 if ":" in address[0] else _socket.AF_INET
    try:
        sock = socket(family, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        try:
            _set_time_left(sock, deadline)
            sock.connect(address)
            _set_time_left(sock, deadline)
            sock.sendall(request(address, path))
            return judge(_head_of_answer(sock, deadline))
        finally:
            sock.close()
    except TimeoutError:
        return TIMEOUT
    except ConnectionRefusedError:
        return REFUSED
    except OSError:
        return CLOSED


def request(address: Address, path: str) -> bytes:
    """The bytes of the request. Its User-Agent tells it from others in an application's own log."""
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    head = f"GET {path} HTTP/1.1\r\nHost: {host}:{address[1]}\r\nUser-Agent: squib-health\r\nConnection: close\r\n\r\n"
    return head.encode("ascii")


def judge(head: bytes) -> str:
    """What the first bytes of an answer say: OK, `status:NNN`, or that it is none."""
    if not head:
        return CLOSED
    version, _, rest = head.partition(b" ")
    status, end = rest[:3], rest[3:4]
    if version not in (b"HTTP/1.0", b"HTTP/1.1") or len(status) != 3 or not status.isdigit() or end not in (b" ", b"\r", b"\n"):
        return NO_HTTP
    return OK if status[:1] in (b"2", b"3") else f"status:{status.decode('ascii')}"


def _head_of_answer(sock: socket, deadline: float) -> bytes:
    """Reads until the end of the answer, and gives its beginning: a server that answers by half is no healthy one."""
    head, size = b"", 0
    while size < ANSWER_BYTES:
        _set_time_left(sock, deadline)
        data = sock.recv(65536)
        if not data:
            break
        head = (head + data)[:64] if len(head) < 64 else head
        size += len(data)
    return head


def _set_time_left(sock: socket, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    sock.settimeout(left)
