"""A guest's way out under QEMU: the user's to give, and never to the host, other networks of it, or what tells a cloud's secrets.

Real machines in a network of their own: a host with an uplink, a bridge and services, and an outside behind its default route.
"""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from namespaces import PYTHON, SQUIB, Namespace, eventually, uplink
from program import Squib
from support import tool

pytestmark = [
    pytest.mark.vm,
    pytest.mark.root,
    pytest.mark.tool,
    pytest.mark.usefixtures("qemu"),
    pytest.mark.timeout(600),
]

# Answers with what a connection to /ADDRESS/PORT is told, or with the error.
APP = """
import socket
from squib.guest.handler import Request, Response

def answer(request: Request) -> Response:
    _, address, port = request.target.split("/")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as client:
            client.settimeout(PATIENCE_S)
            client.connect((address, int(port)))
            client.sendall(b"?")
            return Response(client.recv(100))
    except OSError as error:
        return Response(type(error).__name__.encode())
"""
FILE = """
name = "going"
serve = "app:answer"
network = { ports = [8000], outbound = true }
[keys.port]
type = "port"
default = 8000
"""
# Asks the guest's server for each /ADDRESS/PORT; a line for each.
ASK = """
import http.client, sys
client = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=60)
for path in sys.argv[2:]:
    client.request("GET", path)
    print(client.getresponse().read().decode())
"""
OPEN = "198.51.100.7"
METADATA = ("169.254.169.254", "100.100.100.200", "192.0.0.192", "168.63.129.16")
"""What the outside has, too; all of it answers the host."""
HOSTS = (
    "192.0.2.1",
    "172.18.0.1",
    "127.0.0.1",
    "10.83.0.1",
    "10.83.255.2",
    "10.83.255.3",
    "10.83.255.100",
    "10.0.2.2",
    "10.0.2.3",
)
"""The host by its own addresses, and by those that a guest has for it."""
NOBODYS = ("172.18.0.7", "0.0.0.0", "::1", "fe80::1", "fd00:ec2::254")
SERVICE, PUBLISHED = 7001, 8101
REFUSED = {"TimeoutError", "ConnectionRefusedError", "ConnectionResetError", "OSError"}


class Host:
    """A host and its outside; `squib` runs on it, as whoever it was given for."""

    def __init__(self, host: Namespace, outside: Namespace, squib: Squib) -> None:
        self.host, self.squib = host, squib
        squib.prefix = (*host.command(), *squib.prefix)
        uplink(host, outside)
        for address in (OPEN, *METADATA):
            outside.run("ip", "address", "add", f"{address}/32", "dev", "lo")
            outside.serve(address, 80)
            assert host.ask(address, 80) == "192.0.2.1", "it answers whoever may ask"
        host.run("ip", "link", "add", "br0", "type", "bridge")
        host.run("ip", "address", "add", "172.18.0.1/16", "dev", "br0")
        host.run("ip", "link", "set", "br0", "up")
        host.serve("0.0.0.0", SERVICE)
        for address in ("127.0.0.1", "192.0.2.1", "172.18.0.1"):
            assert host.ask(address, SERVICE) == address
        host.run("sh", "-c", "mknod /run/tun c 10 200 && chmod 666 /run/tun && mount --bind /run/tun /dev/net/tun")

    def run(self, *arguments: str) -> str:
        """What `squib run` says; the machine is called going then, and publishes PUBLISHED."""
        words = (
            "run",
            str(self.squib.home / "app"),
            "--detach",
            "--publish",
            f"{PUBLISHED}:8000",
            "--timeout",
            "200",
            *arguments,
        )
        done = self.squib.run(*words, timeout=280)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def guest_asks(self, address: str, port: int) -> str:
        return self.host.run(*PYTHON, ASK, str(PUBLISHED), f"/{address}/{port}").strip()

    def closed(self) -> None:
        """All that no guest reaches, whatever it is allowed."""
        tried = [
            (address, port) for address in HOSTS for port in (SERVICE, PUBLISHED) if (address, port) != ("127.0.0.1", 8000)
        ]
        tried += [(address, 80) for address in (*METADATA, *NOBODYS)]
        paths = [f"/{address}/{port}" for address, port in tried]
        answers = self.host.run(*PYTHON, ASK, str(PUBLISHED), *paths, timeout=200).splitlines()
        assert len(answers) == len(tried)
        assert {path: said for path, said in zip(paths, answers, strict=True) if said not in REFUSED} == {}


def put_app(folder: Path) -> None:
    (folder / "app").mkdir()
    (folder / "app/app.py").write_text(APP.replace("PATIENCE_S", "0.5"))
    (folder / "app/appliance.toml").write_text(FILE)


@pytest.fixture
def on_a_host() -> Iterator[tuple[Namespace, Namespace]]:
    for name in ("nft", "setpriv"):
        tool(name)
    with Namespace() as outside, Namespace() as host:
        yield host, outside
        host.run("ip", "link", "del", "up0")


def only_way(squib: Squib, way: str) -> None:
    """Of the programs that could connect a machine, squib sees `way` alone; any other program where it is."""
    tool(way or "true")
    folder = squib.home / "bin"
    folder.mkdir()
    for place in ("/usr/bin", "/bin", "/usr/local/bin"):
        for program in Path(place).iterdir():
            if program.name not in {"pasta", "passt", "slirp4netns"} - {way} and not (folder / program.name).is_symlink():
                (folder / program.name).symlink_to(program)
    squib.extra["PATH"] = str(folder)


def allowed_and_closed(host: Host) -> None:
    said = host.run("--outbound")
    assert "may open connections to whatever this host reaches by its default route" in said
    assert host.guest_asks(OPEN, 80) == "192.0.2.1"
    host.closed()
    told = json.loads(host.squib.ok("inspect", "going", "--json"))[0]
    assert (told["spec"]["outbound"], told["way_out"]) == (True, "running")
    process = Path("/proc", str(told["pid"]))
    assert "CapEff:\t0000000000000000" in (process / "status").read_text()
    (way,) = (process / "task" / process.name / "children").read_text().split()
    held = [str(path.readlink()) for path in Path("/proc", way, "fd").iterdir()]
    assert not [name for name in held if "rootfs" in name or "vmlinux" in name], "what QEMU was handed is QEMU's"


def test_a_wish_grants_nothing_and_roots_word_does_until_it_ends(squib: Squib, on_a_host: tuple[Namespace, Namespace]) -> None:
    put_app(squib.home)
    only_way(squib, "pasta")
    host = Host(*on_a_host, squib)
    assert "going asks to open connections to the outside, and may not: --outbound lets it" in host.run()
    assert host.guest_asks(OPEN, 80) in REFUSED
    host.closed()
    squib.ok("rm", "--force", "going")
    allowed_and_closed(host)
    squib.ok("restart", "going", timeout=280)
    assert host.guest_asks(OPEN, 80) == "192.0.2.1", "what was allowed stays allowed"
    squib.ok("stop", "going")
    eventually(lambda: not squib.processes())
    squib.ok("rm", "going")


@pytest.fixture
def user(squib: Squib) -> Iterator[Squib]:
    """`squib` as installed, run by a plain user: the process that makes a namespace takes no PYTHONPATH."""
    home = Path(tempfile.mkdtemp(prefix="squib-user-", dir="/tmp"))
    program = Squib((SQUIB,), home, prefix=("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"))
    shutil.copytree(squib.home / "cache", home / "cache")
    yield program
    left = program.processes()
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(home)
    assert not left, f"left running: {left}"


@pytest.mark.parametrize("way", ["pasta", "slirp4netns"])
def test_a_plain_user(user: Squib, on_a_host: tuple[Namespace, Namespace], way: str) -> None:
    put_app(user.home)
    only_way(user, way)
    subprocess.run(["chown", "-R", "-h", "65534:65534", str(user.home)], check=True)
    host = Host(*on_a_host, user)
    allowed_and_closed(host)
    user.ok("rm", "--force", "going")
    eventually(lambda: not user.processes())


def test_without_a_program_for_it_nothing_is_built(squib: Squib) -> None:
    put_app(squib.home)
    only_way(squib, "")
    done = squib.run("run", str(squib.home / "app"), "--detach", "--outbound")
    assert (done.returncode, "sudo apt-get install passt" in done.stderr, "writing" in done.stderr) == (69, True, False), done
    assert squib.ok("ps", "--json").strip() == "[]"


# The boot is left out.
_STEPS = """
import sys
from squib.app.running import Running
from squib.cli.main import cli
from squib.errors import MissingError
def started(self, artifact, spec, events):
    raise MissingError(f"outbound={spec.outbound} user_network={spec.user_network}")
Running.started = started
cli(sys.argv[1:])
"""


def test_a_person_is_asked_once(squib: Squib) -> None:
    """On a terminal; an option is an answer, and whatever is no yes is a no."""
    put_app(squib.home)
    for option, typed, allowed in (
        ("", "y", True),
        ("", "n", False),
        ("", "", False),
        ("--outbound", None, True),
        ("--no-outbound", None, False),
    ):
        said = _on_a_terminal(squib, ("run", str(squib.home / "app"), *([option] if option else [])), typed)
        assert f"outbound={allowed} user_network={allowed}" in said, (option, typed, said)
        assert ("may open connections" in said) == allowed
        assert ("going asks for connections to whatever this host reaches" in said) == (typed is not None)


def _on_a_terminal(squib: Squib, arguments: tuple[str, ...], typed: str | None) -> str:
    """All that is said there; `typed` is the answer to a question."""
    command = ["/usr/bin/setsid", "--ctty", squib.command[0], "-c", _STEPS, *arguments]
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=squib.env, cwd=squib.home) as process:
        os.close(theirs)
        said = b""
        while typed is not None and b"[y/N]" not in said:
            said += os.read(ours, 4096)
        if typed is not None:
            os.write(ours, f"{typed}\n".encode())
        try:
            while data := os.read(ours, 4096):
                said += data
        except OSError:  # EIO: all ends on their side are closed
            pass
        process.wait(60)
    os.close(ours)
    return said.decode()
