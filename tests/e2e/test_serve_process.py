"""`squib serve`: the plain process, from the command line."""

from __future__ import annotations

import http.client
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from program import free_port


def environment(home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home)}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "squib", "serve", "clock", f"--port={port}", "--ips", "127.0.0.1"],
        cwd=tmp_path, stderr=subprocess.PIPE, env=environment(tmp_path),
    )  # fmt: skip
    try:
        assert process.stderr is not None
        assert select.select([process.stderr], [], [], 20)[0]
        line = process.stderr.readline().decode()
        assert re.fullmatch(rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d \+00:00: INF \[http\] listening on {port}/TCP\n", line)
        yield process, port
    finally:
        process.kill()
        process.communicate()


def ask(port: int) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/any/path?at=all")
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 200
    assert answer.getheader("content-type") == "application/json"
    return body


def test_it_answers_with_the_time_and_stops_on_sigterm(server: tuple[subprocess.Popen[bytes], int]) -> None:
    process, port = server
    body = ask(port)
    assert len(body) == 40
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d -00:00", json.loads(body)["time"])
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0


def test_only_the_guests_code_stays_loaded_in_13_mb(server: tuple[subprocess.Popen[bytes], int]) -> None:
    process, port = server
    ask(port)
    maps = Path(f"/proc/{process.pid}/maps").read_text()
    assert "httptools" in maps
    assert not re.search(r"msgspec|/rich/|elftools|/click/|lz4|zstandard", maps)
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    assert int(found[1]) <= 13_000_000 / 1024
    arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
    assert arguments[3].endswith(b"guest/launch.py")  # it became the server: no second process, no click


def test_a_folder_with_an_appliance(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "from squib.guest.handler import Request, Response\n\n"
        "def answer(request: Request) -> Response:\n    return Response(str(request.keys['greeting']).encode())\n"
    )
    (tmp_path / "appliance.toml").write_text(
        'name = "shop"\nserve = "shop:answer"\n[keys.greeting]\ntype = "string"\ndefault = "hello"\n'
    )
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "squib", "serve", str(tmp_path), "--port", str(port), "--greeting=good day"],
        cwd="/", stderr=subprocess.PIPE, env=environment(tmp_path),
    )  # fmt: skip
    try:
        assert process.stderr is not None
        process.stderr.readline()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"good day"
        connection.close()
    finally:
        process.terminate()
        process.communicate(timeout=20)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["clock", "--prot=80"], 64, "clock: "),
        (["clock", "--port=0"], 64, "clock: "),
        (["clock", "--port=eighty"], 64, "clock: "),
        (["clock", "--port=1", "--port=2"], 64, "clock: "),
        (["clock", "--ips=nowhere"], 64, "clock: "),
        (["./nothing-here"], 66, "squib: "),
    ],
)
def test_bad_input_is_one_clear_message(arguments: list[str], status: int, said: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "squib", "serve", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        env=environment(tmp_path),
        check=False,
    )
    assert done.returncode == status
    assert done.stdout == ""
    assert done.stderr.startswith(said)
    assert "Traceback" not in done.stderr
    if status == 64:
        assert "Try `squib serve clock --help'" in done.stderr


def test_a_taken_port(server: tuple[subprocess.Popen[bytes], int], tmp_path: Path) -> None:
    _, port = server
    done = subprocess.run(
        [sys.executable, "-m", "squib", "serve", "clock", f"--port={port}", "--ips=127.0.0.1"],
        cwd=tmp_path, capture_output=True, text=True, timeout=30, env=environment(tmp_path), check=False,
    )  # fmt: skip
    assert done.returncode == 75
    assert str(port) in done.stderr
    assert "listening on" not in done.stderr


def test_help_beats_every_other_error(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "squib", "serve", "clock", "--port=wrong", "--help=plain"],
        cwd=tmp_path, capture_output=True, text=True, timeout=30, env=environment(tmp_path), check=False,
    )  # fmt: skip
    assert done.returncode == 0
    sections = ["NAME", "SYNOPSIS", "APPLICATION OPTIONS", "SERVER OPTIONS", "ENVIRONMENT"]
    assert [line for line in done.stdout.splitlines() if line in sections] == sections


def test_it_starts_without_click(tmp_path: Path) -> None:
    """Not even the first stage, which reads the appliance file, imports the command line."""
    script = (
        "import os, sys\n"
        "def stop(*_):\n    print(sorted(name for name in ('click', 'rich', 'httptools') if name in sys.modules)); sys.stdout.flush(); os._exit(0)\n"
        "os.execv = stop\n"
        "sys.argv = ['squib', 'serve', 'clock']\n"
        "from squib.__main__ import main\nmain()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        env=environment(tmp_path),
        check=True,
    )
    assert done.stdout == "[]\n"


def test_the_log_counts_connections(server: tuple[subprocess.Popen[bytes], int]) -> None:
    process, port = server
    assert process.stderr is not None
    deadline = time.monotonic() + 20
    for count in (1, 2):
        ask(port)
        assert select.select([process.stderr], [], [], max(0, deadline - time.monotonic()))[0]
        assert process.stderr.readline().decode().endswith(f"INF [http] responding to {count}\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_handler_that_never_returns_cannot_hold_the_process(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "stuck.py").write_text("def answer(request):\n    while True:\n        pass\n")
    (tmp_path / "appliance.toml").write_text('name = "stuck"\nserve = "stuck:answer"\n')
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "squib", "serve", "--port", str(port)],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        env=environment(tmp_path),
    )
    try:
        assert process.stderr is not None
        process.stderr.readline()
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            while cpu_ticks(process.pid) < 20:  # it is in the handler, and busy
                time.sleep(0.02)
            process.send_signal(number)
            process.send_signal(number)
            while process.poll() is None:
                process.send_signal(number)
                time.sleep(0.3)
        assert process.returncode == 128 + number
        said = process.stderr.read().decode()
        assert "ended while the handler was still busy at " in said
        assert "stuck.py:" in said
    finally:
        process.kill()
        process.communicate()


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_the_environment_is_that_of_a_machine(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "import os, time\nprint(' '.join(f'{name}={value}' for name, value in os.environ.items()), time.tzname, flush=True)\n"
        "def answer(request): pass\n"
    )
    (tmp_path / "appliance.toml").write_text(
        'name = "shop"\nserve = "shop:answer"\n[keys.the-greeting]\ntype = "string"\ndefault = "hi"\ndoc = "x"\n'
        '[keys.loud]\ntype = "bool"\ndefault = false\ndoc = "x"\n'
    )
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-m", "squib", "serve", "--ips=127.0.0.1", "--loud"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**environment(tmp_path), "SQUIB_PORT": str(port), "TZ": "Europe/Berlin", "JUNK": "1", "SQUIB_LOGS": "quiet"},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        said = process.stdout.readline()
        process.terminate()
    *found, standard, _ = said.split()
    assert dict(word.split("=", 1) for word in found) == {
        **environment(tmp_path), "LANG": "C.UTF-8", "TZ": "UTC", "SQUIB_PORT": str(port), "SQUIB_THE_GREETING": "hi", "SQUIB_LOUD": "true",
    }  # fmt: skip
    assert standard == "('UTC',"
