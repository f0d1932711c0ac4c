"""The server program as a process: what it loads, its signals, its exit statuses, other people's clients."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from program import free_port
from serving import GET, WAIT_S, connect, exchange, launch, read_all, read_answers
from support import tool


@contextmanager
def process(*arguments: str, **keywords: object) -> Iterator[tuple[subprocess.Popen[bytes], tuple[str, int]]]:
    """A server process on a free port, once it says that it listens; killed if it still runs when this is left."""
    port = free_port()
    server = launch(f"--port={port}", "--ips=127.0.0.1", *arguments, **keywords)  # type: ignore[arg-type]  # mixed keywords
    try:
        assert server.stderr is not None
        line = server.stderr.readline().decode()
        assert line.endswith(f": INF [http] listening on {port}/TCP\n"), line
        yield server, ("127.0.0.1", port)
    finally:
        server.kill()
        server.communicate()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_it_loads_no_more_than_it_needs_and_stays_small(tmp_path: Path) -> None:
    (tmp_path / "tells.py").write_text(
        "import sys\nfrom squib.guest.handler import Response\n"
        "def answer(request):\n    return Response(' '.join(sorted(sys.modules)).encode())\n"
    )
    with process(serve="tells:answer", sys_path=(str(tmp_path),)) as (server, address):
        answer = exchange(address, GET)
        status = Path(f"/proc/{server.pid}/status").read_text()
    modules = set(answer.rpartition(b"\r\n\r\n")[2].decode().split())
    heavy = {
        "re",
        "typing",
        "enum",
        "dataclasses",
        "json",
        "logging",
        "argparse",
        "asyncio",
        "traceback",
        "socket",
        "signal",
        "functools",
    }
    assert "squib.guest.server" in modules
    assert "httptools" in modules
    assert not modules & heavy
    ours = {name for name in modules if name.startswith("squib")}
    assert all(name == "squib" or name.startswith("squib.guest") for name in ours)
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    assert int(found[1]) <= 13_000_000 / 1024


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_at_once_with_idle_clients(number: signal.Signals) -> None:
    with process("-l", "quiet,http:info") as (server, address), connect(address) as idle, connect(address) as unused:
        idle.sendall(GET)
        read_answers(idle, 1)
        server.send_signal(number)
        assert server.wait(WAIT_S) == 0
        assert read_all(idle) == b""
        assert read_all(unused) == b""
        with pytest.raises(ConnectionRefusedError):
            connect(address)


def test_it_finishes_what_is_in_flight() -> None:
    with process() as (server, address), connect(address) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 100")
        server.send_signal(signal.SIGTERM)
        while True:
            try:
                connect(address).close()
            except OSError:
                break
        sock.sendall(b"abc")
        answer = read_all(sock)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nconnection: close\r\n" in answer
        sock.close()
        assert server.wait(WAIT_S) == 0


def test_a_second_signal_ends_it_at_once() -> None:
    with process() as (server, address), connect(address) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 100")
        server.send_signal(signal.SIGTERM)
        while True:
            try:
                connect(address).close()
            except OSError:
                break
        server.send_signal(signal.SIGINT)
        assert server.wait(WAIT_S) == 128 + signal.SIGINT


def test_sigterm_under_load_loses_no_answer() -> None:
    """Whatever the server took as a request it answers whole: each client gets whole answers, then an end, never a reset."""
    results: list[tuple[int, bytes]] = []
    with process("-l", "quiet,http:info", stdin=subprocess.DEVNULL) as (server, address):
        drained = threading.Thread(target=lambda: server.stderr and server.stderr.read())
        drained.start()
        started = threading.Barrier(9)

        def load() -> None:
            answered, tail = 0, b""
            with connect(address) as sock:
                for turn in range(100_000):
                    if turn == 5:
                        started.wait(WAIT_S)
                    try:
                        sock.sendall(GET)
                        piece = sock.recv(65536)
                    except OSError:
                        break
                    if not piece:
                        break
                    tail = piece
                    answered += 1
            results.append((answered, tail))

        threads = [threading.Thread(target=load) for _ in range(8)]
        for thread in threads:
            thread.start()
        started.wait(WAIT_S)
        server.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(WAIT_S)
        assert server.wait(WAIT_S) == 0
        drained.join(WAIT_S)
    assert len(results) == 8
    assert all(answered >= 5 and tail.endswith(b'-00:00" }') for answered, tail in results)


def test_descriptor_exhaustion_neither_spins_nor_ends_it() -> None:
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))

    with process(preexec_fn=few) as (server, address):
        socks = [connect(address) for _ in range(40)]
        assert server.stderr is not None
        line = server.stderr.readline().decode()
        assert "WRN [http] accepting no connections for a moment: Too many open files" in line
        before = cpu_seconds(server.pid)
        time.sleep(1.2)  # what is measured is the time it does not use
        assert cpu_seconds(server.pid) - before < 0.3
        for sock in socks[:30]:
            sock.close()
        socks[-1].sendall(GET)
        read_answers(socks[-1], 1)
        for sock in socks:
            sock.close()


def test_a_taken_port_and_an_unknown_address() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = launch(f"--port={port}", "--ips=127.0.0.1")
        out, err = server.communicate(timeout=WAIT_S)
    assert (server.returncode, out) == (75, b"")
    assert err.decode() == f"clock: cannot listen on 127.0.0.1:{port}: another process listens there\n"
    server = launch(f"--port={free_port()}", "--ips=192.0.2.1")
    _, err = server.communicate(timeout=WAIT_S)
    assert server.returncode == 71
    assert b"this machine does not have that address" in err


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with process(f"--socket={path}") as (server, _):
        assert server.stderr is not None
        assert server.stderr.readline().decode().endswith(f"listening on {path}\n")
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            sock.sendall(GET)
            read_answers(sock, 1)
        second = launch(f"--port={free_port()}", f"--socket={path}")
        assert b"another process listens there" in second.communicate(timeout=WAIT_S)[1]
        assert second.returncode == 75
        server.terminate()
        assert server.wait(WAIT_S) == 0
    assert not path.exists()
    path.write_text("precious")
    refused = launch(f"--port={free_port()}", f"--socket={path}")
    assert b"a file that is no socket" in refused.communicate(timeout=WAIT_S)[1]
    assert refused.returncode == 71
    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    ("serve", "said"),
    [
        ("no_such:answer", "ERR [app] cannot import no_such: ModuleNotFoundError: No module named 'no_such'"),
        ("squib.guest.clock:nothing", "ERR [app] squib.guest.clock has no function nothing"),
    ],
)
def test_a_handler_that_is_not_there(serve: str, said: str) -> None:
    server = launch(f"--port={free_port()}", "--ips=127.0.0.1", serve=serve)
    _, err = server.communicate(timeout=WAIT_S)
    assert server.returncode == 65
    assert said in err.decode()
    assert err.count(b"\n") == 1
    server = launch(f"--port={free_port()}", "--ips=127.0.0.1", "-ldebug", serve="no_such:answer")
    assert b"Traceback" in server.communicate(timeout=WAIT_S)[1]


def test_a_module_that_raises_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import json\n\nSETTINGS = json.loads('{')\n")
    server = launch(f"--port={free_port()}", "--ips=127.0.0.1", serve="broken:answer", sys_path=(str(tmp_path),))
    _, err = server.communicate(timeout=WAIT_S)
    assert server.returncode == 65
    assert b"cannot import broken: JSONDecodeError: " in err
    assert err.endswith(f" ({tmp_path}/broken.py, line 3)\n".encode())


@pytest.mark.tool
def test_curl() -> None:
    curl = tool("curl")
    with process() as (_, (host, port)):
        url = f"http://{host}:{port}/"
        arguments = [
            curl,
            "-sS",
            "--max-time",
            "20",
            "--http1.1",
            url,
            "-w",
            "%{http_code}\n",
            "-T",
            "-",
            "-H",
            "Expect: 100-continue",
            url,
        ]
        done = subprocess.run(arguments, input=b"x" * 5000, capture_output=True, check=True, timeout=WAIT_S)
    assert done.stdout.count(b"200\n") == 2
    assert done.stdout.count(b'{ "time": "') == 2


@pytest.mark.tool
def test_wrk_meets_no_error() -> None:
    wrk = tool("wrk")
    with process("-lerror,http:info", stdin=subprocess.DEVNULL) as (server, (host, port)):
        drained = threading.Thread(target=lambda: server.stderr and server.stderr.read())
        drained.start()
        done = subprocess.run(
            [wrk, "-t1", "-c64", "-d1s", f"http://{host}:{port}/"], capture_output=True, text=True, check=True, timeout=WAIT_S
        )
        server.terminate()
        assert server.wait(WAIT_S) == 0
        drained.join(WAIT_S)
    assert "Socket errors" not in done.stdout
    assert "Non-2xx" not in done.stdout
    assert re.search(r"[1-9]\d* requests in", done.stdout)
