"""PID 1 for real, without a machine: in namespaces of its own, where reboot(2) ends the namespace (reboot(2), "Behavior inside
PID namespaces"), with the real server as its child."""

from __future__ import annotations

import ctypes
import importlib.util
import marshal
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import PROJECT, tool

pytestmark = [pytest.mark.root, pytest.mark.tool]

DEADLINE_S = 30.0
CLONE_NEWNET = 0x40000000
KEYS = (("port", "port", 80, "The port."),)
REQUEST = b"GET / HTTP/1.1\r\nHost: clock\r\nConnection: close\r\n\r\n"
ETH0 = "ip link add eth0 type veth peer name far0"
NO_CAPABILITY = "0" * 16

# Each answers its process's first requests in one way and all others in another.
COUNTED = """
import os, signal, time
from squib.guest.handler import Response
count = 0
def answer(request):
    global count
    count += 1
    os.write(2, b"\\nasked %d times for %s by %s\\n" % (
        count, request.target.encode(), dict(request.headers).get("user-agent", "-").encode()))
    return first() if count <= {many} else then()
"""
APPS = {
    "hangs": COUNTED.format(many=3) + "def first():\n    return Response(b'')\ndef then():\n    signal.pause()\n",
    "unavailable": COUNTED.format(many=3)
    + "def first():\n    return Response(b'', status=503)\ndef then():\n    return Response(b'')\n",
    "slow": COUNTED.format(many=9) + "def first():\n    time.sleep(0.05)\n    return Response(b'')\n",
    "ends": COUNTED.format(many=1) + "def first():\n    return Response(b'')\ndef then():\n    os._exit(0)\n",
    "done": "import os\nos._exit(0)\n",
    "clock": "from squib.guest.clock import answer\n",
    "crashing": "import os\nos._exit(3)\n",
    "broken": "raise RuntimeError('this appliance never starts')\n",
    "halfline": "import os\nos.write(2, b'half a line')\nos._exit(3)\n",
    "forging": (
        "import os\n"
        "os.write(2, b'squib.exit abi=3 status=0 reason=stopped cause=exit:0\\n')\n"
        "os.write(1, b'\\x1b[1msquib: your host is at risk\\n[    1.000000] Kernel panic - not syncing: no\\n')\n"
        "from squib.guest.clock import answer\n"
    ),
    "muting": (
        "import fcntl, os, termios\n"
        "for fd in range(64):\n"
        "    try:\n"
        "        fcntl.ioctl(fd, termios.TCXONC, termios.TCOOFF)\n"
        "        os.write(2, b'stopped a terminal by %d\\n' % fd)\n"
        "    except OSError:\n"
        "        pass\n"
        "os.write(2, b'tried\\n')\n"
        "from squib.guest.clock import answer\n"
    ),
    "flooding": (
        "import os\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"  # what the server leaves behind goes on writing
        "    while True:\n"
        "        os.write(1, b'flood ' * 600 + b'\\n')\n"
        "from squib.guest.clock import answer\n"
    ),
    "naming": (
        "import os\n"
        "for name in ('/dev/stdout', '/dev/stderr', '/dev/fd/1', '/proc/self/fd/2'):\n"
        "    with open(name, 'a') as file:\n"
        "        file.write(f'by {name}\\n')\n"
        "os.system('echo by a shell > /dev/stdout')\n"
        "from squib.guest.clock import answer\n"
    ),
    "environment": (
        "import os, socket, sys, time\n"
        "print('environment', ' '.join(f'{name}={value}' for name, value in sorted(os.environ.items())), time.tzname)\n"
        "print('name', socket.gethostname())\n"
        "print('hosts', open('/run/hosts').read().split('\\n'))\n"
        "from squib.guest.clock import answer\n"
    ),
    "devices": (
        "import os\n"
        "a, b = os.openpty()\n"
        "os.write(b, b'x')\n"
        "print('pty', os.read(a, 1), os.ttyname(b).rstrip('0123456789'))\n"
        "print('links', *(os.readlink('/dev/' + name) for name in ('fd', 'stdin', 'stdout', 'stderr')))\n"
        "with open('/dev/shm/x', 'w') as file:\n"
        "    file.write('shared')\n"
        "import multiprocessing\n"
        "with multiprocessing.Lock():\n"
        "    print('lock', os.statvfs('/dev/shm').f_flag & os.ST_NOSUID)\n"
        "from squib.guest.clock import answer\n"
    ),
    "forking": ("import os, signal\nif os.fork() == 0:\n    signal.pause()\nfrom squib.guest.clock import answer\n"),
    "orphaning": (
        "import os\n"
        "if os.fork() == 0:\n"
        "    os.fork()\n"  # the grandchild outlives its parent by a little, and is PID 1's to collect
        "    os._exit(0)\n"
        "os.wait()\n"
        "from squib.guest.clock import answer\n"
    ),
}


class Image:
    """What an image has of squib, in a folder that any user may read and that no mount of PID 1 hides."""

    def __init__(self, root: Path) -> None:
        self.root = root
        httptools = importlib.util.find_spec("httptools")
        assert httptools is not None
        assert httptools.origin is not None
        shutil.copytree(PROJECT / "src/squib/guest", root / "lib/squib/guest", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(Path(httptools.origin).parent, root / "lib/httptools")
        (root / "lib/squib/__init__.py").touch()
        (root / "app").mkdir()
        for name, source in APPS.items():
            (root / f"app/app_{name}.py").write_text(source)

    def command(
        self,
        app: str,
        parameters: str,
        *,
        stop_ms: int = 12_000,
        restart: tuple[str, int] = ("always", 5),
        health: tuple[str, int, int, int, int] | None = None,
        silence_ms: int = 10_000,
    ) -> list[str]:
        """Writes the spec, the kernel's line and /sbin/init; what to run as the first process."""
        spec = (3, "clock", "Tells the time.", f"app_{app}:answer", KEYS, (str(self.root / "app"),), restart, health)
        (self.root / "appliance").write_bytes(marshal.dumps(spec, 2))
        (self.root / "cmdline").write_bytes(f"console=ttyS0 {parameters}\n".encode("latin-1"))
        (self.root / "init").write_text(
            f"import sys\nsys.path.insert(0, {str(self.root / 'lib')!r})\nfrom squib.guest import init, supervisor\n"
            f"supervisor.STOP_MS, supervisor.SILENCE_MS = {stop_ms}, {silence_ms}\n"
            f"init.main(cmdline_path={str(self.root / 'cmdline')!r}, spec_path={str(self.root / 'appliance')!r})\n"
        )
        return [os.path.realpath(sys.executable), "-IS", str(self.root / "init")]


class Machine:
    """Namespaces with PID 1 in them, its console, and a way in."""

    def __init__(self, command: list[str], before: str) -> None:
        namespaces = ["--fork", "--pid", "--mount", "--net", "--uts", "--ipc", "--kill-child"]
        script = f'{before}\nexec "$@"'
        self.process = subprocess.Popen(
            [tool("unshare"), *namespaces, "--", "/bin/sh", "-ec", script, "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self.process.stdout is not None
        self.console = self.process.stdout
        self.seen: list[str] = []
        self._rest = b""

    def line(self, start: str) -> str:
        """The next line on the console that begins with `start`."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            line = self._next_line(deadline)
            self.seen.append(line)
            if line.startswith(start):
                return line

    def _next_line(self, deadline: float) -> str:
        while b"\n" not in self._rest:
            readable, _, _ = select.select([self.console], [], [], max(0.0, deadline - time.monotonic()))
            data = os.read(self.console.fileno(), 65536) if readable else b""
            assert data, "the console has no such line:\n" + "\n".join([*self.seen, self._rest.decode(errors="replace")])
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode(errors="replace")

    @property
    def init(self) -> int:
        """PID 1, as it is seen from outside."""
        return children(self.process.pid)[0]

    @property
    def server(self) -> int:
        """The server process, as it is seen from outside."""
        return children(self.init)[0]

    @property
    def checker(self) -> int:
        """The health process, likewise: it is started after the server."""
        return children(self.init)[1]

    def connect(self, address: tuple[str, int] = ("127.0.0.1", 80)) -> socket.socket:
        """A connection that is made inside."""
        sock = self._inside(lambda: socket.socket(socket.AF_INET))
        sock.settimeout(DEADLINE_S)
        sock.connect(address)
        return sock

    def _inside(self, make: Callable[[], socket.socket]) -> socket.socket:
        """What `make` gives in the network namespace: a thread enters it, a socket keeps the one that it was made in."""
        made: list[socket.socket] = []

        def enter() -> None:
            with Path(f"/proc/{self.init}/ns/net").open() as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) == 0:
                    made.append(make())

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join(60)
        return made[0]

    def run(self, *command: str) -> str:
        """What a program prints that runs in the network and host-name namespaces."""
        enter = [tool("nsenter"), "--target", str(self.init), "--net", "--uts", "--", *command]
        return subprocess.run(enter, check=True, capture_output=True, text=True, timeout=DEADLINE_S).stdout

    def ended(self) -> int:
        """How `unshare` ended: as PID 1 did."""
        return self.process.wait(DEADLINE_S)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def answer(sock: socket.socket) -> bytes:
    """The whole answer to one request."""
    with sock:
        sock.sendall(REQUEST)
        received = b""
        while data := sock.recv(65536):
            received += data
    return received


Boot = Callable[..., Machine]
Begin = Callable[..., Machine]


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    root = Path(tempfile.mkdtemp(prefix="squib-init-", dir="/var/tmp"))
    root.chmod(0o755)
    yield Image(root)
    shutil.rmtree(root)


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Starts machines, and sees to it that none is left."""
    machines: list[Machine] = []

    def start(command: list[str], before: str = "") -> Machine:
        machines.append(Machine(command, before))
        return machines[-1]

    yield start
    for machine in machines:
        machine.process.kill()  # --kill-child: PID 1, and so all that is inside, goes with it
        machine.process.wait()
        machine.console.close()


@pytest.fixture
def boot(image: Image, begin: Begin) -> Boot:
    """Starts the image with an appliance and a kernel's line."""

    def start(
        app: str = "clock",
        parameters: str = "",
        *,
        before: str = "",
        stop_ms: int = 12_000,
        restart: tuple[str, int] = ("always", 5),
        health: tuple[str, int, int, int, int] | None = None,
        silence_ms: int = 10_000,
    ) -> Machine:
        command = image.command(app, parameters, stop_ms=stop_ms, restart=restart, health=health, silence_ms=silence_ms)
        return begin(command, before)

    return start


def test_boots_answers_and_stops(boot: Boot) -> None:
    machine = boot()
    assert machine.line("squib.").startswith("squib.boot abi=3 uptime_ms=")
    ready = machine.line("squib.")
    assert ready.startswith("squib.ready abi=3 uptime_ms=")
    assert ready.endswith(" listen=tcp:0.0.0.0:80")
    assert answer(machine.connect()).startswith(b"HTTP/1.1 200 OK\r\n")
    assert machine.run("hostname") == "clock\n"
    os.kill(machine.init, signal.SIGTERM)
    assert machine.line("squib.") == "squib.exit abi=3 status=0 reason=stopped cause=exit:0"
    assert machine.ended() == -signal.SIGHUP, "that is how reboot(RB_AUTOBOOT) ends a PID namespace"


def test_the_server_has_no_privileges(boot: Boot) -> None:
    machine = boot()
    machine.line("squib.ready")
    server = status(machine.server)
    assert server["Uid"].split() == server["Gid"].split() == ["65532"] * 4
    assert server["Groups"] == ""
    assert [server[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")] == [NO_CAPABILITY] * 5
    assert server["NoNewPrivs"] == "1"
    assert int(server["SigBlk"], 16) == 0
    assert os.getsid(machine.server) == machine.server
    limits = {row[:25].strip(): row[25:].split() for row in Path(f"/proc/{machine.server}/limits").read_text().splitlines()}
    assert int(limits["Max open files"][0]) > 1024
    assert limits["Max core file size"][:2] == ["0", "0"]


def test_the_server_has_none_of_the_descriptors_of_pid_1(boot: Boot) -> None:
    machine = boot()
    machine.line("squib.ready")
    folder = Path(f"/proc/{machine.server}/fd")
    targets = {int(entry.name): str(entry.readlink()) for entry in folder.iterdir()}
    assert targets.pop(0) == "/dev/null"
    assert targets.pop(1) == targets.pop(2)
    of_init = {str(entry.readlink()) for entry in Path(f"/proc/{machine.init}/fd").iterdir()}
    (shared,) = of_init.intersection(targets.values())
    assert shared.startswith("socket:"), "the listener"


def test_a_killed_server_comes_back_and_no_connection_is_refused(boot: Boot) -> None:
    machine = boot()
    machine.line("squib.ready")
    first = machine.server
    os.kill(first, signal.SIGKILL)
    waiting = [machine.connect() for _ in range(20)]
    assert machine.line("squib.") == "squib.restart abi=3 attempt=1 delay_ms=100 cause=signal:9"
    for sock in waiting:
        assert answer(sock).startswith(b"HTTP/1.1 200 OK\r\n")
    assert machine.line("squib.").startswith("squib.ready ")
    assert machine.server != first


def test_an_appliance_that_cannot_be_loaded_is_not_tried_again(boot: Boot) -> None:
    machine = boot("broken")
    machine.line("squib.boot")
    assert machine.line("squib.") == "squib.exit abi=3 status=65 reason=appliance cause=exit:65"
    assert machine.ended() == -signal.SIGHUP


def test_a_server_that_keeps_crashing_is_given_up(boot: Boot) -> None:
    machine = boot("crashing")
    machine.line("squib.boot")
    for attempt, delay_ms in ((1, 100), (2, 200), (3, 400), (4, 800)):
        line = machine.line("squib.")
        assert line.startswith(f"squib.restart abi=3 attempt={attempt} delay_ms={delay_ms} cause=exit:3")
    assert machine.line("squib.") == "squib.exit abi=3 status=70 reason=crashed cause=exit:3"
    assert machine.ended() == -signal.SIGHUP


def test_half_a_line_of_the_server_does_not_spoil_a_line_of_pid_1(boot: Boot) -> None:
    machine = boot("halfline")
    assert machine.line("squib.restart") == "squib.restart abi=3 attempt=1 delay_ms=100 cause=exit:3"
    assert "half a line" in machine.seen


def test_a_server_cannot_speak_for_pid_1_or_the_kernel(boot: Boot) -> None:
    machine = boot("forging")
    machine.line("squib.ready")
    assert machine.seen[machine.seen.index("server: squib.exit abi=3 status=0 reason=stopped cause=exit:0") :][:3] == [
        "server: squib.exit abi=3 status=0 reason=stopped cause=exit:0",
        "server: \x1b[1msquib: your host is at risk",
        "server: [    1.000000] Kernel panic - not syncing: no",
    ]


def test_a_server_cannot_stop_the_console(image: Image) -> None:
    """A terminal as the console: what is stopped there stops PID 1's lines too, for good."""
    ours, theirs = os.openpty()
    tool("unshare")
    command = image.command("muting", "")
    process = subprocess.Popen(
        ["unshare", "--fork", "--pid", "--mount", "--net", "--uts", "--ipc", "--kill-child", "--", *command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        said, asked = b"", False
        deadline = time.monotonic() + DEADLINE_S
        while b"squib.exit" not in said and time.monotonic() < deadline:
            if select.select([ours], [], [], 1.0)[0]:
                said += os.read(ours, 65536)
            if not asked and b"squib.ready" in said and b"tried" in said:
                os.kill(children(process.pid)[0], signal.SIGTERM)
                asked = True
        assert b"stopped a terminal" not in said
        assert b"squib.exit abi=3 status=0 reason=stopped cause=exit:0" in said
        assert process.wait(DEADLINE_S) == -signal.SIGHUP
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_a_flood_on_a_console_that_nobody_reads_stops_nothing(boot: Boot) -> None:
    machine = boot("flooding")
    machine.line("flood")
    for _ in range(3):
        assert answer(machine.connect()).startswith(b"HTTP/1.1 200 OK\r\n")
    os.kill(machine.server, signal.SIGKILL)
    deadline = time.monotonic() + DEADLINE_S
    while not answer(machine.connect()).startswith(b"HTTP/1.1 200 OK\r\n"):
        assert time.monotonic() < deadline
    os.kill(machine.init, signal.SIGTERM)
    assert machine.ended() == -signal.SIGHUP


def test_a_flood_does_not_keep_pid_1_from_speaking(boot: Boot) -> None:
    machine = boot("flooding")
    machine.line("squib.ready")
    os.kill(machine.server, signal.SIGKILL)
    assert machine.line("squib.restart") == "squib.restart abi=3 attempt=1 delay_ms=100 cause=signal:9"
    machine.line("squib.ready")
    os.kill(machine.init, signal.SIGTERM)
    assert machine.line("squib.exit") == "squib.exit abi=3 status=0 reason=stopped cause=exit:0"


def test_the_outputs_can_be_opened_by_their_names(boot: Boot) -> None:
    machine = boot("naming")
    machine.line("squib.ready")
    by_names = [f"by {name}" for name in ("/dev/stdout", "/dev/stderr", "/dev/fd/1", "/proc/self/fd/2", "a shell")]
    assert [line for line in machine.seen if line.startswith("by ")] == by_names


def test_the_environment_is_what_the_page_says_and_no_more(boot: Boot) -> None:
    machine = boot("environment", "squib.port=8080 ip=10.0.2.15:::255.255.255.0:time:eth0:off", before=f"{ETH0}; export JUNK=1")
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert machine.line("environment") == (
        f"environment HOME=/tmp LANG=C.UTF-8 PATH={path} SQUIB_PORT=8080 TZ=UTC ('UTC', 'UTC')"
    )
    assert machine.line("name") == "name time"
    assert machine.line("hosts") == (
        "hosts ['127.0.0.1 localhost', '::1 localhost ip6-localhost ip6-loopback', '10.0.2.15 time', '']"
    )


def test_the_devices_that_programs_expect(boot: Boot) -> None:
    machine = boot("devices")
    assert machine.line("pty") == "pty b'x' /dev/pts/"
    assert machine.line("links") == "links /proc/self/fd /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2"
    assert machine.line("lock") == f"lock {os.ST_NOSUID}"
    machine.line("squib.ready")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(("app", "moment"), [("clock", "squib.boot"), ("clock", "squib.ready"), ("crashing", "squib.restart")])
def test_a_stop_is_heard_at_any_moment(boot: Boot, app: str, moment: str, number: signal.Signals) -> None:
    machine = boot(app)
    machine.line(moment)
    os.kill(machine.init, number)
    assert machine.line("squib.exit").startswith("squib.exit abi=3 status=0 reason=stopped cause=")
    assert machine.ended() == -signal.SIGHUP


@pytest.mark.parametrize(
    "parameters",
    ["squib.port=eighty", "squib.port=0", "squib.prot=80", "squib.port=%zz", "squib.port=\xff", "squib.=1", "squib.help"],
)
def test_a_wrong_parameter_is_usage(boot: Boot, parameters: str) -> None:
    machine = boot(parameters=parameters)
    machine.line("squib.boot")
    machine.line("squib: ")
    assert machine.line("squib.") == "squib.exit abi=3 status=64 reason=usage cause=none"
    assert machine.ended() == -signal.SIGHUP


@pytest.mark.parametrize(
    ("parameters", "before", "message"),
    [
        ("ip=dhcp", ETH0, "ip= asks for dhcp"),
        ("ip=10.0.2.15::10.0.9.9:255.255.255.0::eth0:off", ETH0, "no route through 10.0.9.9"),
        ("ip=nonsense", "", "neither a protocol"),
        ("squib.ips=192.0.2.1", "", "192.0.2.1"),
    ],
)
def test_what_cannot_be_set_up_is_said(boot: Boot, parameters: str, before: str, message: str) -> None:
    tool("ip")
    machine = boot(parameters=parameters, before=before)
    machine.line("squib.boot")
    assert message in machine.line("squib: ")
    assert machine.line("squib.") == "squib.exit abi=3 status=71 reason=failed cause=none"
    assert machine.ended() == -signal.SIGHUP


@pytest.mark.parametrize(
    "before",
    [
        ETH0,
        f"{ETH0}; ip addr add 10.0.2.15/24 dev eth0; ip link set eth0 up; ip route add default via 10.0.2.2",
    ],
    ids=["PID 1 does it", "the kernel did it"],
)
def test_the_network_of_ip(boot: Boot, before: str) -> None:
    tool("ip")
    machine = boot(parameters="ip=10.0.2.15::10.0.2.2:255.255.255.0:time:eth0:off squib.port=8080", before=before)
    assert machine.line("squib.ready").endswith(" listen=tcp:0.0.0.0:8080")
    assert answer(machine.connect(("10.0.2.15", 8080))).startswith(b"HTTP/1.1 200 OK\r\n")
    assert machine.run("ip", "-4", "-o", "addr", "show", "dev", "eth0").split()[2:4] == ["inet", "10.0.2.15/24"]
    assert machine.run("ip", "route", "show", "default").split()[:5] == ["default", "via", "10.0.2.2", "dev", "eth0"]
    loopback = machine.run("ip", "-o", "addr", "show", "dev", "lo")
    assert "127.0.0.1/8" in loopback
    assert "::1/128" in loopback or not Path("/proc/net/if_inet6").exists()
    assert machine.run("hostname") == "time\n"


def test_a_device_that_comes_late_is_awaited(boot: Boot) -> None:
    tool("ip")
    machine = boot(parameters="ip=10.0.2.15:::255.255.255.0::eth0:off")
    machine.line("squib.boot")
    machine.run(*ETH0.split())
    machine.line("squib.ready")
    assert answer(machine.connect(("10.0.2.15", 80))).startswith(b"HTTP/1.1 200 OK\r\n")


def test_orphans_are_collected(boot: Boot) -> None:
    machine = boot("orphaning")
    machine.line("squib.ready")
    deadline = time.monotonic() + DEADLINE_S
    while len(children(machine.init)) > 1 and time.monotonic() < deadline:
        os.sched_yield()
    assert len(children(machine.init)) == 1
    assert status(machine.server)["State"][0] in "SR"


def test_what_the_server_started_goes_with_it(boot: Boot) -> None:
    machine = boot("forking")
    machine.line("squib.ready")
    (worker,) = children(machine.server)
    pidfd = os.pidfd_open(worker)
    try:
        os.kill(machine.server, signal.SIGKILL)
        assert select.select([pidfd], [], [], DEADLINE_S)[0], "the worker lives on"
    finally:
        os.close(pidfd)
    machine.line("squib.ready")


def test_an_address_that_the_kernel_got_from_a_server_is_kept(boot: Boot) -> None:
    tool("ip")
    machine = boot(parameters="ip=dhcp", before=f"{ETH0}; ip addr add 10.9.9.9/24 dev eth0; ip link set eth0 up")
    machine.line("squib.ready")
    assert answer(machine.connect(("10.9.9.9", 80))).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_spec_that_cannot_be_read(begin: Begin, image: Image) -> None:
    command = image.command("clock", "")
    (image.root / "appliance").write_bytes(b"not a spec")
    machine = begin(command)
    machine.line("squib: reading ")
    assert machine.line("squib.") == "squib.exit abi=3 status=71 reason=failed cause=none"
    assert machine.ended() == -signal.SIGHUP


def test_a_server_that_does_not_stop_is_killed(boot: Boot) -> None:
    machine = boot(stop_ms=50)
    machine.line("squib.ready")
    os.kill(machine.server, signal.SIGSTOP)
    os.kill(machine.init, signal.SIGTERM)
    assert machine.line("squib.") == "squib.exit abi=3 status=75 reason=killed cause=signal:9"
    assert machine.ended() == -signal.SIGHUP


def test_a_closed_console_ends_nothing(boot: Boot) -> None:
    machine = boot()
    machine.line("squib.ready")
    machine.console.close()
    server = machine.server
    assert answer(machine.connect()).startswith(b"HTTP/1.1 200 OK\r\n")
    os.kill(server, signal.SIGKILL)
    assert answer(machine.connect()).startswith(b"HTTP/1.1 200 OK\r\n")
    os.kill(machine.init, signal.SIGTERM)
    assert machine.ended() == -signal.SIGHUP


def test_it_refuses_to_be_any_process_but_the_first(begin: Begin, image: Image) -> None:
    machine = begin(["/bin/sh", "-c", '"$@"; echo "status $?"', "sh", *image.command("clock", "")])
    assert "refuses to run" in machine.line("squib: ")
    assert machine.line("status") == "status 71"
    assert machine.ended() == 0


def test_an_app_that_hangs_is_killed_and_started_again(boot: Boot) -> None:
    machine = boot("hangs", health=("/healthz?x=1", 20, 1_000, 2, 0))
    assert " state=ok failures=0 check=ok" in machine.line("squib.health abi=3 uptime_ms=")
    assert machine.line("squib.").startswith("squib.ready "), "right behind the first good check"
    assert "asked 1 times for /healthz?x=1 by squib-health" in machine.seen
    first = machine.server
    assert machine.line("squib.").endswith(" state=failing failures=1 check=timeout")
    assert machine.line("squib.").endswith(" state=unhealthy failures=2 check=timeout")
    assert machine.line("squib.") == "squib.restart abi=3 attempt=1 delay_ms=100 cause=health"
    assert machine.line("squib.").endswith(" state=ok failures=0 check=ok")
    assert machine.line("squib.").startswith("squib.ready ")
    assert machine.server != first


def test_what_hangs_again_and_again_is_given_up(boot: Boot) -> None:
    machine = boot("hangs", health=("/", 20, 100, 1, 0), restart=("on-failure", 2))
    assert machine.line("squib.restart") == "squib.restart abi=3 attempt=1 delay_ms=100 cause=health"
    assert machine.line("squib.exit") == "squib.exit abi=3 status=70 reason=crashed cause=health"
    assert machine.ended() == -signal.SIGHUP


def test_a_slow_app_within_the_deadline_is_left_alone(boot: Boot) -> None:
    machine = boot("slow", health=("/", 10, 30_000, 1, 0))
    machine.line("asked 6 times")
    assert [line.split()[0] for line in machine.seen if line.startswith("squib.")] == [
        "squib.boot",
        "squib.health",
        "squib.ready",
    ]


def test_bad_answers_in_the_start_period_do_not_count(boot: Boot) -> None:
    machine = boot("unavailable", health=("/", 20, 30_000, 1, 60_000))
    assert machine.line("squib.health").endswith(" state=starting failures=0 check=status:503")
    assert machine.line("squib.").endswith(" state=ok failures=0 check=ok")
    assert machine.line("squib.").startswith("squib.ready ")
    assert sum(line.startswith("asked ") for line in machine.seen) == 4


def test_bad_answers_without_a_start_period_count(boot: Boot) -> None:
    machine = boot("unavailable", health=("/", 20, 30_000, 1, 0), restart=("never", 5))
    assert machine.line("squib.health").endswith(" state=unhealthy failures=1 check=status:503")
    assert machine.line("squib.") == "squib.exit abi=3 status=70 reason=crashed cause=health"
    assert machine.ended() == -signal.SIGHUP


@pytest.mark.parametrize(
    ("app", "policy", "line"),
    [
        ("crashing", "never", "squib.exit abi=3 status=70 reason=crashed cause=exit:3"),
        ("crashing", "on-failure", "squib.restart abi=3 attempt=1 delay_ms=100 cause=exit:3"),
        ("done", "never", "squib.exit abi=3 status=0 reason=finished cause=exit:0"),
        ("done", "on-failure", "squib.exit abi=3 status=0 reason=finished cause=exit:0"),
        ("done", "always", "squib.restart abi=3 attempt=1 delay_ms=100 cause=exit:0"),
        ("broken", "never", "squib.exit abi=3 status=65 reason=appliance cause=exit:65"),
    ],
)
def test_restart_policies(boot: Boot, app: str, policy: str, line: str) -> None:
    machine = boot(app, restart=(policy, 5))
    machine.line("squib.boot")
    assert machine.line("squib.") == line


def test_a_server_that_ends_while_it_is_asked(boot: Boot) -> None:
    machine = boot("ends", restart=("on-failure", 5), health=("/", 20, 30_000, 3, 0))
    machine.line("squib.ready")
    assert machine.line("squib.exit") == "squib.exit abi=3 status=0 reason=finished cause=exit:0"


def test_the_health_process_has_no_privileges_and_no_listener(boot: Boot) -> None:
    machine = boot(health=("/", 600_000, 30_000, 1, 0))
    machine.line("squib.ready")
    assert len(children(machine.init)) == 2
    checker = status(machine.checker)
    assert checker["Uid"].split() == checker["Gid"].split() == ["65532"] * 4
    assert [checker[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")] == [NO_CAPABILITY] * 5
    assert checker["NoNewPrivs"] == "1"
    kinds = [str(entry.readlink()).partition(":")[0] for entry in Path(f"/proc/{machine.checker}/fd").iterdir()]
    assert sorted(kinds) == ["/dev/null", "pipe", "pipe", "pipe"], "the outputs, and the pipe of its reports"


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_health_process_without_a_word_is_replaced(boot: Boot, number: signal.Signals) -> None:
    machine = boot("slow", health=("/", 20, 2_000, 100, 0), silence_ms=0)
    machine.line("asked 2 times")
    server, checker = machine.server, machine.checker
    os.kill(checker, number)
    machine.line("asked 8 times")
    assert machine.server == server
    assert machine.checker != checker
    os.kill(machine.init, signal.SIGTERM)
    assert machine.line("squib.") == "squib.exit abi=3 status=0 reason=stopped cause=exit:0"


def test_a_stop_while_the_app_hangs(boot: Boot) -> None:
    machine = boot("hangs", health=("/", 20, 30_000, 1, 0), stop_ms=50)
    machine.line("asked 4 times")
    os.kill(machine.init, signal.SIGTERM)
    assert machine.line("squib.exit").startswith("squib.exit abi=3 status=")
    assert machine.ended() == -signal.SIGHUP
