"""The program of a container as PID 1 of a PID namespace: it hands on signals, reaps orphans, and ends as the server does."""

from __future__ import annotations

import importlib.util
import marshal
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import squib
from program import free_port
from serving import GET, WAIT_S, connect, read_all
from support import tool

APP = """
import os, time
from squib.guest.handler import Response

def answer(request):
    if request.target == "/orphan":  # a process whose parent is gone before it
        if os.fork() == 0:
            if os.fork() == 0:
                time.sleep(0.2)
                os._exit(0)
            os._exit(0)
        os.wait()
    if request.target == "/die":
        os.kill(os.getpid(), 9)
    states = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with open(f"/proc/{pid}/stat") as file:
            states.append(pid + file.read().rpartition(")")[2].split()[0])
    return Response(" ".join(sorted(states)).encode())
"""


@contextmanager
def container(folder: Path, *, init: bool = True) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """/bin/server as PID 1 of a namespace with its own /proc (init: below a shell that is), and its port."""
    (folder / "app").mkdir()
    (folder / "app/odd.py").write_text(APP)
    spec = (3, "odd", "", "odd:answer", (("port", "port", 80, ""),), (str(folder / "app"),), ("always", 5), None)
    (folder / "spec").write_bytes(marshal.dumps(spec, 2))
    found = importlib.util.find_spec("httptools")
    assert found is not None
    assert found.origin is not None
    paths = [str(Path(squib.__file__).parent.parent), str(Path(found.origin).parent.parent)]
    (folder / "server").write_text(
        f"import sys\nsys.path += {paths!r}\nfrom squib.guest.container import main\nmain({str(folder / 'spec')!r})\n"
    )
    port = free_port()
    server = [sys.executable, "-IS", str(folder / "server"), "--port", str(port), "--ips=127.0.0.1"]
    if not init:
        server = ["/bin/sh", "-c", '"$@" & trap "kill -TERM $!" TERM; wait; wait $!', "sh", *server]
    process = subprocess.Popen(
        [tool("unshare"), "--pid", "--fork", "--mount-proc", "--kill-child", *server],
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield process, port
    finally:
        process.kill()
        process.wait(WAIT_S)
        assert process.stderr is not None
        process.stderr.close()


def ask(port: int, target: str = "/") -> str:
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            with connect(("127.0.0.1", port)) as sock:
                sock.sendall(GET.replace(b" / ", f" {target} ".encode()).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
                return read_all(sock).decode().rpartition("\r\n\r\n")[2]
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.root
def test_orphans_are_reaped_and_a_stop_is_graceful(tmp_path: Path) -> None:
    with container(tmp_path) as (process, port):
        assert ask(port) == "1S 2R"
        ask(port, "/orphan")
        deadline = time.monotonic() + WAIT_S
        while (states := ask(port)) != "1S 2R":  # the orphan sleeps for a moment, and then is nowhere: no state Z
            assert "Z" not in states or time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(children(process.pid)[0], signal.SIGTERM)
        assert process.wait(WAIT_S) == 0


@pytest.mark.root
def test_a_server_that_is_killed_gives_its_signal(tmp_path: Path) -> None:
    with container(tmp_path) as (process, port):
        ask(port)
        assert ask(port, "/die") == ""
        assert process.wait(WAIT_S) == 128 + signal.SIGKILL


@pytest.mark.root
def test_a_stop_while_it_starts_is_not_lost(tmp_path: Path) -> None:
    with container(tmp_path) as (process, _):
        deadline = time.monotonic() + WAIT_S
        while not (children(process.pid) and children(init := children(process.pid)[0])):  # the server is forked
            assert time.monotonic() < deadline
        os.kill(init, signal.SIGTERM)
        assert process.wait(WAIT_S) in {0, 128 + signal.SIGTERM}


@pytest.mark.root
def test_below_another_init_it_is_one_process(tmp_path: Path) -> None:
    with container(tmp_path, init=False) as (process, port):
        assert [state for state in ask(port).split() if state.endswith("R")] == ["2R"]
        assert len(ask(port).split()) == 2
        os.kill(children(process.pid)[0], signal.SIGTERM)
        assert process.wait(WAIT_S) == 0
