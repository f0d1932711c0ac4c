"""`squib init`: what it wrote is tested, served, built and run by the commands that it names."""

from __future__ import annotations

import http.client
import subprocess
import sys
from pathlib import Path

import pytest

from program import Squib, free_port


@pytest.fixture
def alone(tmp_path: Path) -> Squib:
    """Squib that needs no kernel."""
    return Squib((sys.executable, "-m", "squib"), tmp_path)


def ask(port: int, target: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", target)
    body = connection.getresponse().read()
    connection.close()
    return body


def test_its_test_passes_and_it_serves(alone: Squib) -> None:
    said = alone.ok("init", "my shop")
    assert said == "my shop/app.py\nmy shop/appliance.toml\nmy shop/test_app.py\n\nNext: squib serve 'my shop', squib run 'my shop', python -m pytest 'my shop' (pip install pytest)\n"  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "my shop"],
        cwd=alone.home, env=alone.env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    port = free_port()
    server = alone.start("serve", "my shop", "--port", str(port), "--ips", "127.0.0.1", "--greeting", "moin")
    try:
        assert server.stderr is not None
        assert f"listening on {port}/TCP" in server.stderr.readline()
        assert ask(port, "/here") == b"moin from /here\n"
    finally:
        server.terminate()
        server.communicate(timeout=20)
    assert server.returncode == 0


@pytest.mark.vm
@pytest.mark.usefixtures("qemu")
def test_it_builds_and_runs(squib: Squib) -> None:
    squib.ok("init", "shop", "--name", "corner-shop")
    squib.ok("build", "shop", "-o", "out")
    tree = squib.ok("build", "shop", "--show", "tree")
    assert "/app/app.py" in tree
    assert "test_app" not in tree
    port = free_port()
    squib.ok("run", "out", "--detach", "--quiet", "--publish", f"{port}:8000")
    try:
        assert ask(port, "/x") == b"hello from /x\n"
    finally:
        squib.ok("stop", "corner-shop")
    squib.ok("rm", "corner-shop")


def test_it_overwrites_nothing(alone: Squib) -> None:
    alone.ok("init")
    before = (alone.home / "app.py").read_text()
    (alone.home / "appliance.toml").unlink()
    again = alone.run("init")
    assert again.returncode == 75
    assert again.stderr == "squib: app.py is there already, and stays as it is\n  try: choose another folder: squib init DIR\n"
    assert (again.stdout, (alone.home / "app.py").read_text()) == ("", before)
    assert not (alone.home / "appliance.toml").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("shop", "--name", "A B"), 64, "'A B' cannot be the name of an appliance"),
        (("shop", "--name"), 64, "--name"),
        (("a", "b"), 64, "b"),
        (("file",), 64, "is a file"),
        (("file/below",), 74, "Not a directory"),
        (("/proc/squib",), 74, "no folder can be made in /proc, for /proc/squib"),
    ],
)
def test_bad_input(alone: Squib, arguments: tuple[str, ...], status: int, said: str) -> None:
    (alone.home / "file").write_text("")
    done = alone.run("init", *arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr
    assert [path.name for path in alone.home.iterdir()] == ["file"]


@pytest.mark.parametrize("arguments", [(), ("shop",), ("shop", "--name", "shop")])
def test_in_a_deleted_folder(alone: Squib, arguments: tuple[str, ...]) -> None:
    gone = Squib(
        alone.command, alone.home, prefix=("/bin/sh", "-c", 'mkdir gone && cd gone && rmdir ../gone && exec "$0" "$@"')
    )
    done = gone.run("init", *arguments)
    assert (done.returncode, done.stdout) == (66, "")
    assert done.stderr == "squib: the working folder was deleted\n  try: go to another one: cd\n"
    assert gone.run("init", str(alone.home / "elsewhere")).returncode == 0
