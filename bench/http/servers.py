"""The servers that are compared: how each is started, with its request log on or off."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.machine import ROOT
from bench.problem import Problem
from bench.process import cores, running

_BIN = Path(sys.executable).parent
_SEED = ROOT / "bench" / "http" / "seed"
_WAIT_S = 30

PROGRAMS = {
    "nginx": ["/usr/sbin/nginx", "-v"],
    "wrk": ["wrk", "--version"],
    "ocaml": ["ocamlfind", "ocamlopt", "-version"],
    "cohttp": ["ocamlfind", "query", "-format", "%v", "cohttp-lwt-unix"],
    "uvicorn": [sys.executable, "-m", "uvicorn", "--version"],
    "granian": [str(_BIN / "granian"), "--version"],
}

# nginx writes two header lines more, Server and Connection: they cannot be switched off. A line of its log has as much as ours
_NGINX = """daemon off; worker_processes 1; pid {folder}/pid; error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  server_tokens off; default_type application/json; keepalive_requests 1000000000; keepalive_timeout 75s;
  log_format one '$time_iso8601: INF [http] responding to $connection'; access_log {log};
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port} backlog=1024; location / {{ return 200 '{{ "time": "2026-11-23 23:02:22 -00:00" }}'; }} }}
}}
"""


class Server:
    """A running one: its `pid`, and the `port` on loopback."""

    def __init__(self, pid: int, port: int) -> None:
        self.pid = pid
        self.port = port


def squib(port: int, folder: Path, logging: str) -> list[str]:  # noqa: ARG001
    """`logging` is `off` or `on`."""
    level = "info" if logging == "on" else "error"
    return [str(_BIN / "squib"), "serve", "clock", f"--port={port}", "--ips=127.0.0.1", f"--logs={level}"]


def nginx(port: int, folder: Path, logging: str) -> list[str]:
    """`logging` may also be `buffered`, as nginx's users tend to have it: lines are written 64 KiB at once."""
    log = {"off": "off", "on": f"{folder}/access.log one", "buffered": f"{folder}/access.log one buffer=64k"}[logging]
    path = folder / "nginx.conf"
    path.write_text(_NGINX.format(folder=folder, port=port, log=log))
    return ["/usr/sbin/nginx", "-p", str(folder), "-c", str(path)]


def seed(port: int, folder: Path, logging: str) -> list[str]:  # noqa: ARG001
    """Built where it was not, or its source is newer."""
    built = _SEED / "_build" / "seed"
    source = _SEED / "server.ml"
    if not built.exists() or built.stat().st_mtime < source.stat().st_mtime:
        if shutil.which("ocamlfind") is None:
            raise Problem("ocamlfind is not installed; tools/setup bench installs it")
        built.parent.mkdir(exist_ok=True)
        copy = shutil.copy2(source, built.parent)  # the compiler leaves its files beside its source
        argv = [
            "ocamlfind",
            "ocamlopt",
            "-thread",
            "-O3",
            "-package",
            "cohttp-lwt-unix,ptime.clock.os,logs",
            "-linkpkg",
            copy,
            "-o",
            str(built),
        ]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Problem(f"the seed's server does not compile: {done.stderr.strip()}")
    return [str(built), str(port), "info" if logging == "on" else "error"]


def uvicorn(port: int, folder: Path, logging: str) -> list[str]:  # noqa: ARG001
    """With uvloop and httptools, its fastest."""
    log = ["--log-level", "info"] if logging == "on" else ["--log-level", "error", "--no-access-log"]
    return [sys.executable, "-m", "uvicorn", "--port", str(port), "--loop", "uvloop", "--http", "httptools",
            "--lifespan", "off", "--no-server-header", "--backlog", "1024", *log, "bench.http.asgi:app"]  # fmt: skip


def granian(port: int, folder: Path, logging: str) -> list[str]:  # noqa: ARG001
    """One worker with one thread, ASGI."""
    log = ["--access-log"] if logging == "on" else ["--no-access-log", "--log-level", "error"]
    return [str(_BIN / "granian"), "--interface", "asginl", "--port", str(port), "--workers", "1", "--runtime-threads", "1",
            "--backlog", "1024", *log, "bench.http.asgi:app"]  # fmt: skip


Start = Callable[[int, Path, str], list[str]]
ALL: Mapping[str, Start] = {"squib": squib, "nginx": nginx, "seed": seed, "uvicorn": uvicorn, "granian": granian}


@contextmanager
def serving(name: str, folder: Path, logging: str) -> Iterator[Server]:
    """The server, once it answers, with its log in `folder`."""
    port = _free_port()
    folder.mkdir(parents=True, exist_ok=True)
    argv = ALL[name](port, folder, logging)
    with (folder / "log").open("wb") as log, running(argv, core=cores()[0], log=log) as process:
        deadline = time.monotonic() + _WAIT_S
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                tail = (folder / "log").read_text(errors="replace")[-2000:]
                raise Problem(f"{name} does not answer: {tail.strip()}")
            time.sleep(0.05)
        yield Server(process.pid, port)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    """Whether it gives the 40 bytes that all are to give."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return b"".join(iter(lambda: sock.recv(4096), b"")).rpartition(b"\r\n\r\n")[2].startswith(b'{ "time": "20')
    except OSError:
        return False
