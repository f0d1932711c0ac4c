"""Six machines at once on real Firecracker, of which two are hostile: each is reached, none reaches another, nothing is left.

A hostile guest does as it is told, as root in it (lab.hostile): what a person who took over a guest could do.
"""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from lab.conftest import Artifacts
from lab.hostile import END
from lab.test_host_network import ask, squib, state

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

MEMORY = "40M"
CLOCKS, HOSTILE = (0, 1, 2, 3), (4, 5)
ALLOWED = 7010
"""A port of the host's that guests may reach."""

SILENCE_S, PATIENCE_S = 3, 60
"""How long a guest waits for who is not to answer, and for who is."""
# Whoever answers a connection in that time, be it by a refusal.
TRY = """
poll, waiting = select.poll(), {}
for target in TARGETS:
    one = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    one.setblocking(False)
    one.connect_ex(target)
    waiting[one.fileno()] = one, target
    poll.register(one, select.POLLOUT)
end = time.monotonic() + SECONDS
while waiting and (left := end - time.monotonic()) > 0:
    for descriptor, _ in poll.poll(left * 1000):
        one, (address, port) = waiting.pop(descriptor)
        poll.unregister(descriptor)
        say(f"{address}:{port}")
"""
# Frames with a source that was not given, another each time; or to 127.0.0.1 with the true one.
LIE = """
raw = _socket.socket(_socket.AF_PACKET, _socket.SOCK_RAW)
raw.bind(("eth0", 0))
mac = raw.getsockname()[4]
def packed(address): return bytes(map(int, address.split(".")))
def frame(source, target, number, mac=mac):
    head = bytes([0x45, 0, 0, 32]) + number.to_bytes(2, "big") + bytes([0, 0, 64, 17, 0, 0]) + source + target
    total = sum(int.from_bytes(head[at:at + 2], "big") for at in range(0, 20, 2))
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + (~total & 0xFFFF).to_bytes(2, "big") + head[12:]
    return b"\\xff" * 6 + mac + b"\\x08\\x00" + head + bytes([0x27, 0x0f, 0x1b, 0x62, 0, 12, 0, 0]) + b"lies"
sent, end = 0, time.monotonic() + SECONDS
while time.monotonic() < end:
    other = (0x0A530000 + sent % 65536).to_bytes(4, "big")
    raw.send(frame(other, packed(HOST), sent % 65536))
    raw.send(frame(packed(OWN), packed("127.0.0.1"), sent % 65536))
    raw.send(frame(packed(OWN), packed(HOST), sent % 65536, mac=b"\\x06" + sent.to_bytes(5, "big")))
    sent += 3
say(sent)
"""
# From the true address, to wherever a machine without `outbound` may not go: another address and port each time.
TRUE = """
one = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
sent, end = 0, time.monotonic() + SECONDS
while time.monotonic() < end:
    for target in (f"198.51.{sent // 200 % 200}.{sent % 200 + 1}", HOST):
        one.sendto(b"true", (target, 1024 + sent % 60000))
        sent += 1
say(sent)
"""


def told(number: int, code: str, **values: object) -> list[str]:
    """What the hostile guest says when it has done that."""
    head = "".join(f"{name} = {value!r}\n" for name, value in values.items())
    with socket.create_connection(("127.0.0.1", 8100 + number), timeout=120) as connection:
        connection.sendall((head + code).encode() + END)
        return connection.makefile("r").read().split()


@contextmanager
def listening(*places: tuple[str, int]) -> Iterator[list[socket.socket]]:
    """TCP servers; who connects is in their backlog."""
    servers = [socket.create_server(place) for place in places]
    for server in servers:
        server.settimeout(0)
    yield servers
    for server in servers:
        server.close()


def dropped(chain: str) -> int:
    listing = json.loads(subprocess.check_output(["nft", "-j", "list", "chain", "inet", "squib", chain]))["nftables"]
    rules = [entry["rule"]["expr"] for entry in listing if "rule" in entry]
    return sum(part["counter"]["packets"] for rule in rules if {"drop": None} in rule for part in rule if "counter" in part)


def connections() -> int:
    return int(Path("/proc/sys/net/netfilter/nf_conntrack_count").read_text())


def started(artifacts: Artifacts) -> list[IPv4Address]:
    """The six, started at once; the guests' addresses, by number."""
    processes = []
    for number in (*CLOCKS, *HOSTILE):
        artifact = artifacts["tuned" if number in CLOCKS else "hostile"]
        line = ("run", str(artifact), "--vmm", "firecracker", "--memory", MEMORY, "--detach", "--json", "--timeout", "400")
        publish = ("--publish", f"0.0.0.0:{8100 + number}:80", "--name", f"m{number}")
        processes.append(
            subprocess.Popen(["squib", *line, *publish], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    said = [process.communicate(timeout=500) for process in processes]
    assert [process.returncode for process in processes] == [0] * 6, said
    elements = next(
        entry["map"]["elem"]
        for entry in json.loads(subprocess.check_output(["nft", "-j", "list", "map", "inet", "squib", "publish_to"]))[
            "nftables"
        ]
        if "map" in entry
    )
    by_port = {key["concat"][1]: IPv4Address(guest) for key, guest in elements}
    return [by_port[8100 + number] for number in (*CLOCKS, *HOSTILE)]


def test_six_at_once_of_which_two_are_hostile(artifacts: Artifacts, logs: Path) -> None:
    before = state()
    squib("host", "setup", "--allow-host-port", str(ALLOWED))
    set_up = state()
    try:
        try:
            guests = started(artifacts)
            assert len(set(guests)) == 6
            for number in CLOCKS:
                for url in (
                    f"http://127.0.0.1:{8100 + number}",
                    f"http://10.0.2.15:{8100 + number}",
                    f"http://{guests[number]}",
                ):
                    assert ask(url).startswith(b'{ "time": "20'), url
            for number in HOSTILE:
                reaches_nobody(number, guests)
            floods(HOSTILE[0], guests, logs)
        finally:
            names = [machine["name"] for machine in json.loads(squib("ps", "--json"))]
            squib("stop", *names)
        assert state() == set_up, "nothing of the machines is left"
        squib("rm", *names)
    finally:
        squib("host", "teardown", "--force")
    assert state() == before


def reaches_nobody(number: int, guests: Sequence[IPv4Address]) -> None:
    own, gateway = guests[number], guests[number] - 1
    others = [guest for guest in guests if guest != own]
    metadata = "169.254.169.254"
    subprocess.run(["ip", "address", "add", f"{metadata}/32", "dev", "lo"], check=True)
    try:
        with listening(("0.0.0.0", 7009), ("127.0.0.1", 7008), ("0.0.0.0", ALLOWED), (metadata, 80)):
            targets = [
                *((str(guest), 80) for guest in others),
                *((str(guest - 1), 8100 + at) for at, guest in enumerate(guests)),
                *(("10.0.2.15", 8100 + at) for at in range(6)),
                *((address, port) for address in (str(gateway), "10.0.2.15") for port in (22, 7008, 7009)),
                ("10.0.2.15", ALLOWED), (metadata, 80), ("10.0.2.2", 80),
            ]  # fmt: skip
            reached = [(str(own), 80), (str(gateway), ALLOWED)]
            assert told(number, TRY, SECONDS=SILENCE_S, TARGETS=targets) == []
            answers = told(number, TRY, SECONDS=PATIENCE_S, TARGETS=reached)
            assert sorted(answers) == sorted(f"{address}:{port}" for address, port in reached)
    finally:
        subprocess.run(["ip", "address", "del", f"{metadata}/32", "dev", "lo"], check=True)


def floods(number: int, guests: Sequence[IPv4Address], logs: Path) -> None:
    """Neither costs the host its table of connections, nor other machines their answers."""
    own, host = str(guests[number]), str(guests[number] - 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("0.0.0.0", 7010))
        listener.settimeout(0)
        for code, chains in ((LIE, ("from_taps",)), (TRUE, ("leaving", "to_host"))):
            drops, known, answers = [dropped(chain) for chain in chains], connections(), 0
            with ThreadPoolExecutor(1) as pool:
                flood = pool.submit(told, number, code, OWN=own, HOST=host, SECONDS=5)
                while not flood.done():
                    assert ask(f"http://127.0.0.1:{8100 + answers % len(CLOCKS)}").startswith(b'{ "time"')
                    answers += 1
            sent = int(flood.result()[0])
            grown = [dropped(chain) - old for chain, old in zip(chains, drops, strict=True)]
            with (logs / "floods").open("a") as log:
                log.write(
                    f"{sent} sent, {grown} dropped, connections {known} to {connections()}, {answers} answers meanwhile\n"
                )
            assert answers > 0
            assert sent > 100
            assert all(one > sent // 10 for one in grown), "what the tap's queue lost is not counted"
            assert connections() < known + 2 * answers + 20, "no entry for what is dropped"
        with pytest.raises(BlockingIOError):
            listener.recv(100)
