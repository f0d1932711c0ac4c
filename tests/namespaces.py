"""Hosts, guests and an outside, each in a network namespace of its own: packets really pass, or are really dropped.

A namespace is held by a process that sleeps; its /run is its own, so that squib's record of a host is too. A guest's network stack
is a namespace as well: `Guest` opens a tap of the host as a VMM would, and carries its frames to a tap in the guest's namespace.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from support import tool

SQUIB = str(Path(sys.executable).with_name("squib"))
PYTHON = ("/usr/bin/python3", "-S", "-E", "-c")

_HOLD = "mount -t tmpfs run /run && mount -t sysfs sys /sys && ip link set lo up && echo ready && exec sleep infinity"

# Answers each client with the address that it sees it from.
_SERVE = """
import socket, sys
server = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
while True:
    client, address = server.accept()
    client.recv(1)
    client.sendall(address[0].encode())
    client.close()
"""
_ASK = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3])) as client:
        client.sendall(b"?")  # pasta tells a server of nobody who says nothing
        print(client.recv(100).decode())
except OSError as error:
    print(type(error).__name__)
"""
# UDP that arrives, one line for each datagram.
_LISTEN = """
import socket, sys
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.bind((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
while True:
    data, address = receiver.recvfrom(2000)
    print(address[0], data.decode(), flush=True)
"""
# Sends a UDP datagram as a bare frame: whatever addresses a hostile guest likes.
_FORGE = """
import socket, struct, sys
device, count, mac, to_mac, source, target, port, text = sys.argv[1:]
def total(data):
    data += b"\\0" * (len(data) % 2)
    value = sum(struct.unpack(f">{len(data) // 2}H", data))
    value = (value >> 16) + (value & 0xFFFF)
    return ~(value + (value >> 16)) & 0xFFFF
def packed(mac): return bytes.fromhex(mac.replace(":", ""))
udp = struct.pack(">HHHH", 9999, int(port), 8 + len(text), 0) + text.encode()
head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, socket.inet_aton(source), socket.inet_aton(target))
head = head[:10] + struct.pack(">H", total(head)) + head[12:]
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
    raw.bind((device, 0))
    for _ in range(int(count)):
        raw.send(packed(to_mac) + packed(mac) + b"\\x08\\x00" + head + udp)
"""
_CARRY = """
import ctypes, fcntl, os, select, struct, sys
TUNSETIFF, TAP_NO_PI, CLONE_NEWNET = 0x400454CA, 0x1002, 0x40000000
def tap(name):
    descriptor = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), TAP_NO_PI))
    return descriptor
here = tap(sys.argv[1])
if ctypes.CDLL(None).setns(os.open(f"/proc/{sys.argv[2]}/ns/net", os.O_RDONLY), CLONE_NEWNET):
    sys.exit("setns")
there = tap("eth0")
print("ready", flush=True)
while True:
    for one in select.select([here, there], [], [])[0]:
        try:
            os.write(there if one == here else here, os.read(one, 65536))
        except OSError:
            pass  # the other end is down
"""


class Namespace:
    """A host of its own; a context manager."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[str]] = []
        tool("nsenter")
        self.holder = self._started([tool("unshare"), "--net", "--mount", "sh", "-c", _HOLD])

    @property
    def pid(self) -> int:
        return self.holder.pid

    def command(self, *argv: str) -> list[str]:
        return ["nsenter", "--target", str(self.pid), "--net", "--mount", "--", *argv]

    def run(self, *argv: str, check: bool = True, timeout: float = 60, text: str | None = None) -> str:
        done = subprocess.run(self.command(*argv), input=text, capture_output=True, text=True, timeout=timeout, check=False)
        assert not check or done.returncode == 0, (argv, done.stdout, done.stderr)
        return done.stdout

    def squib(self, *argv: str, status: int = 0, env: Mapping[str, str] | None = None) -> str:
        """What it prints, both outputs, where it ends with `status`; `env` is put over the environment."""
        variables = None if env is None else os.environ | env
        done = subprocess.run(
            self.command(SQUIB, *argv), capture_output=True, text=True, timeout=60, check=False, env=variables
        )
        assert done.returncode == status, (argv, done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """A program that prints `ready` when it is, and ends with this namespace."""
        return self._started(self.command(*argv))

    def _started(self, command: list[str]) -> subprocess.Popen[str]:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", command
        return process

    def serve(self, address: str, port: int) -> None:
        self.start(*PYTHON, _SERVE, address, str(port))

    def ask(self, address: str, port: int, *, patience: float = 20) -> str:
        """What a server there answers, or the name of the error."""
        return self.run(*PYTHON, _ASK, address, str(port), str(patience)).strip()

    def listen(self, address: str, port: int) -> subprocess.Popen[str]:
        return self.start(*PYTHON, _LISTEN, address, str(port))

    def setting(self, name: str, value: str | None = None) -> str:
        if value is not None:
            self.run("sh", "-c", f"echo {value} > /proc/sys/{name}")
        return self.run("cat", f"/proc/sys/{name}").strip()

    def mac(self, device: str) -> str:
        return str(json.loads(self.run("ip", "-j", "link", "show", device))[0]["address"])

    def rules(self) -> str:
        return self.run("nft", "-s", "list", "ruleset")

    def settings(self) -> str:
        """All of the network's that stay as they are by themselves."""
        lines = self.run("sysctl", "-a", "--pattern", r"^net\.(ipv4|ipv6|core)\.").splitlines()
        return "\n".join(line for line in lines if not line.startswith(("net.ipv4.tcp_fastopen_key", "net.ipv4.fib_")))

    def dropped(self, chain: str) -> int:
        """Packets that rules of squib's `chain` have dropped."""
        listing = json.loads(self.run("nft", "-j", "list", "chain", "inet", "squib", chain))["nftables"]
        rules = [entry["rule"]["expr"] for entry in listing if "rule" in entry]
        return sum(part["counter"]["packets"] for rule in rules if {"drop": None} in rule for part in rule if "counter" in part)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for process in reversed(self._processes):
            process.kill()
            process.wait(10)
            if process.stdout is not None:
                process.stdout.close()


class Joined(Namespace):
    """The network that the process `pid` is in; that ends by itself."""

    def __init__(self, pid: int) -> None:
        self._processes = []
        self._pid = pid

    @property
    def pid(self) -> int:
        return self._pid

    def command(self, *argv: str) -> list[str]:
        return ["nsenter", "--target", str(self.pid), "--net", "--", *argv]


class Guest(Namespace):
    """The network of a guest behind the tap `tap` of `host`."""

    def __init__(self, host: Namespace, tap: str, address: str, gateway: str, mac: str) -> None:
        super().__init__()
        self.tap, self.address, self.gateway_mac, self.own_mac = tap, address.partition("/")[0], host.mac(tap), mac
        carrier = subprocess.Popen(host.command(*PYTHON, _CARRY, tap, str(self.pid)), stdout=subprocess.PIPE, text=True)
        self._processes.append(carrier)
        assert carrier.stdout is not None
        assert carrier.stdout.readline() == "ready\n"
        self.run("ip", "link", "set", "eth0", "address", mac, "up")
        self.run("ip", "address", "add", address, "dev", "eth0")
        self.run("ip", "route", "add", "default", "via", gateway)

    def forge(
        self, target: str, port: int, text: str, *, source: str | None = None, mac: str | None = None, count: int = 1
    ) -> None:
        addresses = (mac or self.own_mac, self.gateway_mac, source or self.address, target)
        self.run(*PYTHON, _FORGE, "eth0", str(count), *addresses, str(port), text)


def heard(process: subprocess.Popen[str]) -> str:
    """The next line that a listener prints; the tests' time limit ends the wait."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def eventually(what: object, *, within: float = 20) -> None:
    """Waits until `what()` is true."""
    assert callable(what)
    end = time.monotonic() + within
    while not what():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.02)


def uplink(host: Namespace, outside: Namespace) -> None:
    """`host` has 192.0.2.1 on up0 and its default route to `outside`, which is 192.0.2.2 and routes guests' networks to it."""
    host.run("ip", "link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", str(outside.pid))
    host.run("ip", "address", "add", "192.0.2.1/24", "dev", "up0")
    host.run("ip", "link", "set", "up0", "up")
    outside.run("ip", "address", "add", "192.0.2.2/24", "dev", "eth0")
    outside.run("ip", "link", "set", "eth0", "up")
    host.run("ip", "route", "add", "default", "via", "192.0.2.2")
    for network in ("172.17.100.0/24", "10.83.0.0/16"):
        outside.run("ip", "route", "add", network, "via", "192.0.2.1")
    for device in ("all", "default", "up0"):
        host.setting(f"net/ipv4/conf/{device}/forwarding", "0")
