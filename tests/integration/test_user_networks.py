"""A plain user's Firecracker machines with a network: real namespaces, rules, pasta and slirp4netns; Firecracker made up.

The fake does not open its tap, so `Guest` does in its place, and is the guest's network.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import fake_firecracker
from namespaces import SQUIB, Guest, Joined, Namespace, eventually, heard, uplink
from squib.formats.console_lines import ABI
from squib.model.appliance import Appliance, NetworkSettings
from squib.model.image import FileRecord, KernelRecord, Manifest
from squib.wire import manifest
from support import tool

pytestmark = [pytest.mark.root, pytest.mark.tool, pytest.mark.timeout(240)]

USER = 1000
RUN = ("--vmm", "firecracker", "--detach", "--json")
ELF = b"\x7fELF, as far as the fake looks"
FILES = ("initrd.img", "rootfs.ext4", "vmlinux")
SEEN: dict[str, dict[str, tuple[str, ...]]] = {
    "pasta": {"127.0.0.1": ("10.83.0.1", "10.83.255.100"), "192.0.2.1": ("192.0.2.1", "10.83.255.2")},
    "slirp4netns": {"127.0.0.1": ("10.83.255.2",), "192.0.2.1": ("192.0.2.1", "10.83.255.2")},
}
"""Whom the guest sees when the host itself asks; it differs between versions."""


class Lab:
    """A host, a user of it, an artifact to run and a Firecracker that is made up; of the two ways out only `way` is installed."""

    def __init__(self, host: Namespace, folder: Path, way: str) -> None:
        self.host, self.folder, self.way = host, folder, way
        (folder / "bin").mkdir()
        fake_firecracker.write(folder / "bin")
        for name in (way, "nft"):
            (folder / "bin" / name).symlink_to(tool(name))
        self.env = {
            "PATH": f"{folder}/bin",
            "HOME": str(folder),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CACHE_HOME": str(folder / "cache"),
        }
        self.artifact = self.written("clock", outbound=False)

    def written(self, name: str, *, outbound: bool) -> str:
        folder = self.folder / name
        folder.mkdir()
        for file in FILES:
            (folder / file).write_bytes(ELF)
        files = tuple(FileRecord(file, len(ELF), hashlib.sha256(ELF).hexdigest()) for file in FILES)
        network = NetworkSettings(ports=(80,), outbound=outbound)
        appliance = Appliance(name, "a:b", folder, network=network)
        (folder / "manifest.json").write_bytes(
            manifest.encode(Manifest("0", ABI, appliance, KernelRecord("6", "test", 1), files, ()))
        )
        return str(folder)

    def command(self, *argv: str) -> list[str]:
        """As the user, on the host."""
        return self.host.command(*self.become(), *argv)

    def become(self) -> tuple[str, ...]:
        become = ("setpriv", "--reuid", str(USER), "--regid", str(USER), "--groups", "4242", "--")
        return (*become, "env", *(f"{name}={value}" for name, value in self.env.items()))

    def squib(self, *arguments: str, status: int = 0) -> str:
        done = subprocess.run(self.command(SQUIB, *arguments), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == status, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def run(self, *arguments: str, artifact: str | None = None) -> Machine:
        text = self.squib("run", artifact or self.artifact, *RUN, *arguments)
        told = json.loads(text[text.index("{\n") : text.rindex("}") + 1])
        return Machine(self, told["name"], int(told["pid"]), list(told["urls"]))

    def processes(self) -> list[str]:
        """The user's that have to do with this host: in its network, or told of his folder."""
        network = Path(f"/proc/{self.host.pid}/ns/net").readlink()
        return [line for path in Path("/proc").glob("[0-9]*") if (line := self._mine(path, network))]

    def _mine(self, process: Path, network: Path) -> str:
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            users = f"\nUid:\t{USER}\t" in (process / "status").read_text()
            near = (process / "ns/net").readlink() == network or str(self.folder) in f"{line} {(process / 'cwd').readlink()}"
        except OSError:  # it ended meanwhile, or is ending
            return ""
        return f"{process.name} {line}" if users and near else ""

    def nothing_left(self) -> None:
        self.squib("ps")
        eventually(lambda: not self.processes())


class Machine:
    """One that runs."""

    def __init__(self, lab: Lab, name: str, pid: int, urls: list[str]) -> None:
        self.lab, self.name, self.pid, self.urls = lab, name, pid, urls
        self.inside = Joined(pid)

    def guest(self) -> Guest:
        return Guest(self.inside, "squib0", "10.83.0.2/30", "10.83.0.1", "06:73:0a:53:00:02")

    def children(self) -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]


@pytest.fixture
def outside() -> Iterator[Namespace]:
    with Namespace() as namespace:
        yield namespace


@pytest.fixture(params=SEEN)
def lab(request: pytest.FixtureRequest, outside: Namespace) -> Iterator[Lab]:
    for name in ("nft", "setpriv", request.param):
        tool(name)
    folder = Path(tempfile.mkdtemp(prefix="squib-user-", dir="/tmp"))
    try:
        with Namespace() as host:
            uplink(host, outside)
            host.run("sh", "-c", "mknod /run/tun c 10 200 && chmod 666 /run/tun && mount --bind /run/tun /dev/net/tun")
            lab = Lab(host, folder, request.param)
            for path in (folder, *folder.rglob("*")):
                os.chown(path, USER, USER, follow_symlinks=False)
            yield lab
            for machine in json.loads(lab.squib("ps", "--json")):
                lab.squib("rm", "--force", machine["name"])
            lab.nothing_left()
            host.run("ip", "link", "del", "up0")
    finally:
        shutil.rmtree(folder)


def test_a_published_port_answers_and_no_other(lab: Lab, outside: Namespace) -> None:
    host = lab.host
    publish = ("8080:80", "0.0.0.0:8081:80", "127.0.0.2:8083:81", "192.0.2.1:8082:80")
    machine = lab.run(*(word for one in publish for word in ("--publish", one)))
    assert set(machine.urls) == {
        f"http://{one}" for one in ("127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.2:8083", "192.0.2.1:8082")
    }
    with machine.guest() as guest:
        guest.serve("10.83.0.2", 80)
        for address, port in (("127.0.0.1", 8080), ("127.0.0.1", 8081), ("192.0.2.1", 8081), ("192.0.2.1", 8082)):
            assert host.ask(address, port) in SEEN[lab.way][address], (address, port)
        for port in (8081, 8082):
            assert outside.ask("192.0.2.1", port) == "192.0.2.2", "a client is seen as it is"
        assert outside.ask("192.0.2.1", 8080) == "ConnectionRefusedError", "loopback's is not for others"
        for address, port in (("192.0.2.1", 8080), ("127.0.0.3", 8080), ("127.0.0.1", 8082)):
            assert host.ask(address, port) == "ConnectionRefusedError", (address, port)
        assert not host.ask("127.0.0.2", 8083, patience=3).startswith("10."), "port 81, where the guest has nothing"
        guest.serve("10.83.0.2", 81)
        assert host.ask("127.0.0.2", 8083) in SEEN[lab.way]["127.0.0.1"]
        rivals(lab)
    lab.squib("restart", "clock")
    again = json.loads(lab.squib("ps", "--json"))[0]
    assert again["urls"] == machine.urls, "the same ports again"
    machine = Machine(lab, "clock", again["pid"], again["urls"])
    with machine.guest() as guest:
        guest.serve("10.83.0.2", 80)
        assert host.ask("127.0.0.1", 8080) in SEEN[lab.way]["127.0.0.1"]


def rivals(lab: Lab) -> None:
    """What somebody has is nobody else's; nothing of a run that is refused is left."""
    before = lab.processes()
    run = ("run", lab.artifact, *RUN, "--name", "second")
    assert "in use by the machine clock" in lab.squib(*run, "--publish", "8080:80", status=75)
    lab.host.serve("127.0.0.1", 7006)
    assert "127.0.0.1:7006 is in use by another program" in lab.squib(*run, "--publish", "7006:80", status=75)
    said = unchecked(lab, 7006, *run, "--publish", "7006:80", status=75)
    assert "127.0.0.1:7006 is in use by another program" in said, "somebody came between the look and the way out"
    assert "IPv4 only" in lab.squib(*run, "--publish", "[::1]:8083:80", status=64)
    twice = ("--publish", "8084:80", "--publish", "127.0.0.2:8084:80")
    if lab.way == "pasta":
        assert "pasta publishes port 8084 at one address only" in lab.squib(*run, *twice, status=64)
    else:
        lab.squib(*run, *twice)
        lab.squib("rm", "--force", "second")
    assert "not an address of this host" in lab.squib(*run, "--publish", "192.0.2.77:8083:80", status=64)
    eventually(lambda: lab.processes() == before)
    said = unchecked(lab, 7006, *run, status=0)
    assert '"state": "running"' in said, "a port that was freely chosen is chosen anew"
    lab.squib("rm", "--force", "second")
    eventually(lambda: lab.processes() == before)


# The store finds free what is not: the first port that it chooses is taken, and none is looked at.
UNCHECKED = """
import sys, types
from squib.cli.main import cli
from squib.host import ports
from squib.store import leases
chosen = [int(sys.argv[1])]
def choose(address, preferred=()):
    return chosen.pop() if chosen else ports.choose(address, preferred)
leases.ports = types.SimpleNamespace(check=lambda *_: None, choose=choose, endpoint=ports.endpoint)
cli(sys.argv[2:])
"""


def unchecked(lab: Lab, port: int, *arguments: str, status: int) -> str:
    command = lab.command(sys.executable, "-c", UNCHECKED, str(port), *arguments)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == status, done
    return done.stdout + done.stderr


def test_outbound_is_the_users_word_and_never_the_host(lab: Lab, outside: Namespace) -> None:
    host = lab.host
    bridge(host)
    outside.serve("192.0.2.2", 8004)
    for address, port in (("127.0.0.1", 7001), ("192.0.2.1", 7002), ("172.18.0.1", 7003), ("0.0.0.0", 7004)):
        host.serve(address, port)
    name_server = host.listen("127.0.0.53", 53)
    with lab.run("--name", "shut", artifact=lab.written("open", outbound=True)).guest() as guest:
        assert guest.ask("192.0.2.2", 8004, patience=0.5) == "TimeoutError"
        never_the_host(guest)
    lab.squib("rm", "--force", "shut")
    with lab.run("--name", "going", "--outbound").guest() as guest:
        assert "10.83.255.3" in boot_args(lab), "it is told of the name server that asks the host's"
        assert guest.ask("192.0.2.2", 8004) == "192.0.2.1"
        never_the_host(guest)
        guest.run("bash", "-c", "echo -n query > /dev/udp/10.83.255.3/53")
        assert heard(name_server) == "127.0.0.1 query"


def bridge(host: Namespace) -> None:
    """A network of the host's beside its uplink, as of containers; and a name server on loopback, as systemd's."""
    host.run("ip", "link", "add", "br0", "type", "veth", "peer", "name", "br1")
    host.run("ip", "address", "add", "172.18.0.1/16", "dev", "br0")
    host.run("ip", "link", "set", "br0", "up")
    host.run("sh", "-c", "echo nameserver 127.0.0.53 > /run/resolv.conf && mount --bind /run/resolv.conf /etc/resolv.conf")


def never_the_host(guest: Guest) -> None:
    """By whatever address: its own, its gateway's, the way out's, and those that mean all or nobody."""
    for port in (7001, 7002, 7003, 7004):
        for address in ("10.83.0.1", "10.83.255.2", "10.83.255.3", "10.83.255.100", "192.0.2.1", "172.18.0.1"):
            said = guest.ask(address, port, patience=0.15)
            assert said in {"TimeoutError", "ConnectionRefusedError", "ConnectionResetError", "OSError"}, (address, port, said)
    for address in ("127.0.0.1", "0.0.0.0", "10.83.255.2", "192.0.2.1"):
        guest.forge(address, 7004, "past the guest's own routing")
    assert guest.ask("169.254.169.254", 80, patience=0.15) == "TimeoutError"
    assert guest.ask("172.18.0.7", 80, patience=0.15) in {"TimeoutError", "OSError"}


def boot_args(lab: Lab) -> str:
    (log,) = (lab.folder / "state/squib/machines").glob("*/firecracker.log")
    return next(line for line in log.read_text().splitlines() if "PUT /boot-source" in line)


def test_firecracker_has_no_right_and_the_user_has_his_groups(lab: Lab) -> None:
    machine = lab.run()
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{machine.pid}/status").read_text().splitlines())
    assert {name: status[name] for name in status if name.startswith("Cap")} == dict.fromkeys(
        ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), f"{0:016x}"
    )
    assert (status["NoNewPrivs"], status["Uid"].split()[0], status["Groups"].strip()) == ("1", str(USER), "4242")
    assert Path(f"/proc/{machine.pid}/uid_map").read_text().split() == ["0", str(USER), "1"]
    assert Path(f"/proc/{machine.pid}/setgroups").read_text() == "deny\n"
    descriptors = {str(path.readlink()) for path in Path(f"/proc/{machine.pid}/fd").iterdir()}
    assert not [name for name in descriptors if name.startswith("pipe:") or "way-out" in name], descriptors
    (way,) = machine.children()
    assert sorted(int(line.split()[0]) for line in lab.processes()) == sorted((machine.pid, way))
    assert lab.way in Path(f"/proc/{way}/cmdline").read_text()
    known = {str(path.readlink()) for path in Path(f"/proc/{way}/fd").iterdir()}
    assert not [name for name in known if name.endswith(("vmlinux", "initrd.img", "rootfs.ext4"))], known
    assert not [line for line in lab.processes() if "squib.net" in line], "no Python stays"


def test_however_it_ends_nothing_is_left(lab: Lab) -> None:
    machine = lab.run()
    assert json.loads(lab.squib("inspect", "clock", "--json"))[0]["way_out"] == "running"
    lab.squib("stop", "clock")
    assert json.loads(lab.squib("inspect", "clock", "--json"))[0]["way_out"] is None
    lab.nothing_left()
    lab.squib("restart", "clock")
    lab.squib("rm", "--force", "clock")
    lab.nothing_left()
    machine = lab.run()
    os.kill(machine.pid, signal.SIGKILL)
    eventually(lambda: not lab.processes())
    assert json.loads(lab.squib("ps", "--json"))[0]["ended_by"] == "vmm"
    lab.squib("restart", "clock")
    machine = Machine(lab, "clock", json.loads(lab.squib("ps", "--json"))[0]["pid"], [])
    (way,) = machine.children()
    os.kill(way, signal.SIGKILL)
    eventually(lambda: Path(f"/proc/{way}/stat").read_text().split()[2] == "Z")
    assert json.loads(lab.squib("ps", "--json"))[0]["state"] == "running", "without its way out the machine goes on"
    assert "cut off: what connected it to the host has ended; squib restart clock" in lab.squib("inspect", "clock")
    assert json.loads(lab.squib("inspect", "clock", "--json"))[0]["way_out"] == "ended"
    lab.squib("stop", "clock")
    lab.nothing_left()


# Kills itself after a step of a start: (module, function) is patched.
KILLED = """
import importlib, os, signal, sys
from squib.cli.main import cli
owner = importlib.import_module(sys.argv[1])
*path, name = sys.argv[2].split(".")
for part in path:
    owner = getattr(owner, part)
step = getattr(owner, name)
def killed(*arguments, **options):
    step(*arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, name, killed)
cli(sys.argv[3:])
"""
STEPS = (
    ("squib.app.user_networks", "attach"),
    ("squib.vmm.firecracker.launch", "make_run_dir"),
    ("squib.host.command", "spawn"),
    ("squib.vmm.namespace", "_await"),
    ("squib.vmm.firecracker.launch", "Firecracker.launch"),
    ("squib.store.machines", "Store.started"),
    ("squib.store.machines", "Store.ready"),
)


def test_whenever_squib_is_killed_the_next_command_cleans_up(lab: Lab) -> None:
    for step in STEPS:
        command = lab.command(sys.executable, "-c", KILLED, *step, "run", lab.artifact, *RUN)
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
        assert done.returncode == -signal.SIGKILL, (step, done)
        lab.nothing_left()


# A way out that says it is there, and is not: it only has the port.
LIAR = f"""exec {sys.executable} -c '
import pathlib, socket, time
server = socket.create_server(("127.0.0.1", 8080))
pathlib.Path("way-out.ready").write_text("!")
time.sleep(60)
'"""


def test_whoever_is_killed_on_the_way_is_said_and_nothing_is_left(lab: Lab) -> None:
    way, nft = lab.folder / "bin" / lab.way, lab.folder / "bin" / "nft"
    for program, script, said in (
        (nft, "kill -9 $PPID", "the machine's network was not set up: it was killed"),
        (nft, "echo no >&2; exit 1", "nft failed (exit status 1)"),
        (way, "kill -9 $PPID", "the machine's network was not set up: it was killed"),
        (way, "kill -9 $$", f"{lab.way} did not connect the machine's network"),
        (way, "echo not today; exit 1", "not today"),
        (way, LIAR, "net/ipv4/conf/uplink0/forwarding"),  # and not that its own port is somebody's
    ):
        real = program.readlink()
        program.unlink()
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        said_now = lab.squib("run", lab.artifact, *RUN, status=66 if script is LIAR else 71)
        assert said in said_now, script
        lab.nothing_left()
        program.unlink()
        program.symlink_to(real)


def test_what_is_missing_is_said(lab: Lab) -> None:
    run, insist = ("run", lab.artifact, *RUN), ("--network", "user")
    assert "--network user and --tap contradict" in lab.squib(*run, *insist, "--tap", "tap0", status=64)
    assert "without a network" in lab.squib(*run, "--network", "none", "--name", "none")
    root = subprocess.run(lab.host.command(SQUIB, *run, *insist), capture_output=True, text=True, check=False)
    assert (root.returncode, "--network host" in root.stderr) == (64, True), root
    way = lab.folder / "bin" / lab.way
    way.rename(way.with_suffix(".away"))
    assert "sudo apt-get install passt" in lab.squib(*run, *insist, status=69)
    assert "without a network" in lab.squib(*run, "--name", "auto")
    way.with_suffix(".away").rename(way)
    lab.host.run("chmod", "600", "/run/tun")
    assert "may not open /dev/net/tun" in lab.squib(*run, *insist, status=77)
    lab.host.run("chmod", "666", "/run/tun")
    # A process in a chroot may make no user namespace (user_namespaces(7)).
    lab.host.run("sh", "-c", "mkdir /run/root && mount --rbind / /run/root")
    done = subprocess.run(
        [*lab.host.command("chroot", "/run/root"), *lab.become(), SQUIB, *run, *insist],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 69, done
    assert "this user cannot make a user namespace with a network: Operation not permitted" in done.stderr
