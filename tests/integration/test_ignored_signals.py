"""What was ignored when squib began stays ignored: as under nohup(1), and as a shell has it for what it starts in the background."""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from program import free_port
from serving import connect
from support import waited_for

IGNORING = ("/bin/sh", "-c", 'trap "" HUP INT; exec "$@"', "sh")
"""A command behind it starts so."""
STOPS = {signal.SIGHUP: 129, signal.SIGTERM: 143, signal.SIGINT: 130}


class Answers(http.server.BaseHTTPRequestHandler):
    """Counts who asks, by `seen`."""

    seen = threading.Semaphore(0)

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        type(self).seen.release()

    def log_message(self, *_: object) -> None:
        """It is not told."""


@pytest.fixture
def asking() -> Iterator[tuple[str, ...]]:
    """A command that goes on for a long time, and is past its start once `Answers.seen`."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        yield (sys.executable, "-m", "squib", "probe", url, "-n", "1000", "--interval", "0.2")
        server.shutdown()


def started(command: tuple[str, ...], folder: Path) -> subprocess.Popen[bytes]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def await_answers(count: int) -> None:
    for _ in range(count):
        assert Answers.seen.acquire(timeout=60)


@pytest.mark.parametrize("number", STOPS)
def test_a_verb_ends_by_a_signal(asking: tuple[str, ...], tmp_path: Path, number: signal.Signals) -> None:
    with waited_for(started(asking, tmp_path)) as process:
        await_answers(1)
        process.send_signal(number)
        assert process.wait(60) == STOPS[number]


def test_a_verb_goes_on_where_that_was_ignored(asking: tuple[str, ...], tmp_path: Path) -> None:
    with waited_for(started((*IGNORING, *asking), tmp_path)) as process:
        await_answers(1)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGINT)
        await_answers(3)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143


@pytest.mark.parametrize("ignoring", [True, False])
def test_serve(tmp_path: Path, ignoring: bool) -> None:
    port = free_port()
    command = (sys.executable, "-m", "squib", "serve", "clock", f"--port={port}", "--ips", "127.0.0.1")
    with waited_for(started((*IGNORING, *command) if ignoring else command, tmp_path)) as process:
        answers(port, process)
        process.send_signal(signal.SIGINT)
        if ignoring:
            process.send_signal(signal.SIGHUP)
            for _ in range(5):
                answers(port, process)
                time.sleep(0.1)
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def answers(port: int, process: subprocess.Popen[bytes]) -> None:
    """Returns once it does."""
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None
        assert time.monotonic() < deadline
        try:
            with connect(("127.0.0.1", port)) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                assert client.recv(100).startswith(b"HTTP/1.1 200 OK")
                return
        except ConnectionRefusedError:
            time.sleep(0.05)
