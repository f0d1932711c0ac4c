"""What hostile clients, a stop under load and odd surroundings may not do to the server."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from program import free_port
from serving import GET, WAIT_S, connect, exchange, launch, read_all, read_answers, serving
from squib.guest.deadlines import Timed, Wheel
from squib.guest.handler import Request, Response
from squib.guest.limits import Limits
from support import missing, tool


@contextmanager
def process_on(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The real process, listening; `arguments` behind those for its port."""
    port = free_port()
    process = launch(f"--port={port}", "--ips=127.0.0.1", *arguments)
    try:
        assert process.stderr is not None
        assert select.select([process.stderr], [], [], WAIT_S)[0]
        assert b"listening on" in process.stderr.readline()
        yield process, port
    finally:
        process.kill()
        process.communicate()


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def resident_kib(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4


def test_clients_that_come_and_go_leave_nothing_behind() -> None:
    wheel = Wheel(0.5, 100.0)
    for _ in range(1000):
        item = Timed()
        wheel.set(item, 110.0)
        wheel.set(item, 175.0)
        wheel.forget(item)
    assert wheel._slots == {}


def test_5000_quick_clients_in_bounded_memory() -> None:
    before = 0
    with process_on() as (process, port):
        for turn in range(5000):
            with connect(("127.0.0.1", port)) as sock:
                sock.sendall(GET[: 10 + turn % 20])
                if turn % 3 == 0:
                    reset(sock)
            if turn == 500:
                before = resident_kib(process.pid)
        exchange(("127.0.0.1", port), GET)
        assert resident_kib(process.pid) - before < 1024


def test_a_client_gets_no_answers_of_the_one_before_it() -> None:
    """A connection that breaks with requests left must not answer them to whoever has its descriptor next."""
    asked, go_on = threading.Semaphore(0), threading.Semaphore(0)

    def answer(request: Request) -> Response:
        if request.target in ("/1", "/3"):
            asked.release()
            assert go_on.acquire(timeout=WAIT_S)
        return Response(b"for the first")

    with serving(Limits(requests_a_turn=2), answer=answer) as (address, _):
        first = connect(address)
        first.sendall(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(1, 9)))
        assert asked.acquire(timeout=WAIT_S)  # 1, of the turn of 1 and 2
        with connect(address) as second:  # waits for the next turn
            go_on.release()
            assert asked.acquire(timeout=WAIT_S)  # 3, of the next turn
            reset(first)
            filler = os.open(
                os.devnull, os.O_RDONLY
            )  # takes the client's number, in this process, so that the server's is free
            go_on.release()  # 3 and 4 cannot be sent any more; 5 to 8 are left; the second client is let in
            second.sendall(b"GET /own HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert read_all(second).count(b"HTTP/1.1 ") == 1
        os.close(filler)


@pytest.mark.parametrize(("old", "new", "pipelined"), [(100, 0, 1), (0, 400, 1), (20, 20, 200), (3, 3, 5000)])
def test_a_stop_loses_nothing_that_was_sent_before_it(old: int, new: int, pipelined: int) -> None:
    """The process stands still while requests are sent and SIGTERM comes: all of them came before the stop."""
    request = b"GET / HTTP/1.1\r\nHost: abcdef\r\n\r\n"  # 32 bytes: a read can end where a request does
    with process_on() as (process, port), ExitStack() as stack:
        address = ("127.0.0.1", port)
        clients = [stack.enter_context(connect(address)) for _ in range(old)]
        for sock in clients:
            sock.sendall(GET)
            read_answers(sock, 1)
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        clients += [stack.enter_context(connect(address)) for _ in range(new)]
        for sock in clients:
            sock.sendall(request * pipelined)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
        for sock in clients:
            found = read_all(sock)
            sock.close()
            assert found.count(b'-00:00" }') == pipelined
            assert found.count(b"connection: close") <= 1  # none where all was answered before the signal was seen
        process.communicate(timeout=WAIT_S)
        assert process.returncode == 0


def test_a_stop_in_a_storm_of_requests() -> None:
    """Whatever moment it comes at: each client has whole answers, and none behind one that said close."""
    with process_on() as (process, port):
        found: list[bytes] = []

        def client() -> None:
            with connect(("127.0.0.1", port)) as sock:
                answers = b""
                try:
                    sock.sendall(GET * 7)
                    while piece := sock.recv(1 << 16):
                        answers += piece
                        sock.sendall(GET * 7)
                except OSError:
                    pass  # a request crossed the close
                found.append(answers)

        threads = [threading.Thread(target=client) for _ in range(8)]
        for thread in threads:
            thread.start()
        assert process.stderr is not None
        for _ in range(3000):
            process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=WAIT_S)
        assert process.returncode == 0
        for thread in threads:
            thread.join(WAIT_S)
        for answers in found:
            before, closing, last = answers.partition(b"connection: close")
            assert before.count(b"HTTP/1.1 200") == before.count(b"-00:00") + bool(closing)
            assert last.count(b"HTTP/1.1 ") == 0


def test_an_interrupt_while_the_handler_is_imported_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import os, time\nos.write(1, b'importing')\ntime.sleep(60)\n")
    process = launch(f"--port={free_port()}", "--ips=127.0.0.1", serve="slow:answer", sys_path=(str(tmp_path),))
    try:
        assert process.stdout is not None
        assert process.stdout.read(9) == b"importing"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=WAIT_S)
        assert (process.returncode, said) == (-signal.SIGINT, b"")
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("closed", ["2>&-", "0<&- 1>&- 2>&-"])
def test_closed_standard_descriptors_are_not_taken_by_sockets(closed: str, tmp_path: Path) -> None:
    port = free_port()
    process = subprocess.Popen(
        ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "squib", "serve", "clock", f"--port={port}", "--ips=127.0.0.1"],
        cwd=tmp_path, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )  # fmt: skip
    answer, end = b"", time.monotonic() + WAIT_S
    try:
        while not answer:
            try:
                answer = exchange(("127.0.0.1", port), GET)
            except ConnectionRefusedError:
                assert process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.02)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert Path(f"/proc/{process.pid}/fd/2").readlink() == Path(os.devnull)
        process.terminate()
        assert process.wait(WAIT_S) == 0
    finally:
        process.kill()
        process.wait()


def test_ipv6() -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
            port = probe.getsockname()[1]
    except OSError:
        missing("this machine has no IPv6")
        raise
    process = launch(f"--port={port}", "--ips=::1,127.0.0.1")
    try:
        assert process.stderr is not None
        for _ in range(2):
            assert f"listening on {port}/TCP" in process.stderr.readline().decode()
        with socket.create_connection(("::1", port), timeout=WAIT_S) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: [::1]:%d\r\nConnection: close\r\n\r\n" % port)
            assert read_all(sock).startswith(b"HTTP/1.1 200 OK\r\n")
        assert exchange(("127.0.0.1", port), GET).startswith(b"HTTP/1.1 200 OK\r\n")
    finally:
        process.kill()
        process.communicate()


@pytest.mark.root
@pytest.mark.tool
def test_a_privileged_port_as_a_plain_user(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        missing("only root can become another user")
    lowest = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if lowest <= 1:
        missing("every user may listen on every port here")
    done = subprocess.run(
        [tool("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all",
         sys.executable, "-m", "squib", "serve", "clock", "--port=1", "--ips=127.0.0.1"],
        capture_output=True, text=True, timeout=WAIT_S, cwd="/", env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, check=False,
    )  # fmt: skip
    assert done.returncode == 77, done.stderr
    assert done.stderr == "clock: cannot listen on 127.0.0.1:1: this user may not\n"
