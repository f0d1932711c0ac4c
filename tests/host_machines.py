"""A host that is set up for machines with a network of their own, in namespaces, and a Firecracker that is made up for them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fake_firecracker
from namespaces import PYTHON, Guest, Namespace
from squib.formats.console_lines import ABI
from squib.model.appliance import Appliance, NetworkSettings
from squib.model.image import FileRecord, KernelRecord, Manifest
from squib.wire import manifest

RUN = ("--vmm", "firecracker", "--no-jailer", "--detach", "--json")
"""What every start here is told besides."""

_ELF = b"\x7fELF, as far as the fake looks"
_FILES = ("initrd.img", "rootfs.ext4", "vmlinux")

# squib, and something happens before or after one of its steps, once: (module, function) is patched.
_AT = """
import importlib, os, pathlib, signal, sys
from squib.cli.main import cli
module, name, moment, what, folder = sys.argv[1:6]
owner = importlib.import_module(module)
*path, name = name.split(".")
for part in path:
    owner = getattr(owner, part)
step = getattr(owner, name)
def kill():
    os.kill(os.getpid(), signal.SIGKILL)
def starve():
    pathlib.Path(folder, "state.db-journal").unlink(missing_ok=True)
    fill()
def fill():
    with open(folder + "/ballast", "ab", buffering=0) as ballast:
        for size in (65536, 4096, 1):
            try:
                while True:
                    ballast.write(bytes(size))
            except OSError:
                pass
def patched(*arguments, **options):
    setattr(owner, name, step)
    if moment == "before":
        globals()[what]()
    done = step(*arguments, **options)
    if moment == "after":
        globals()[what]()
    return done
setattr(owner, name, patched)
cli(sys.argv[6:])
"""

_QUERY = """
import json, sqlite3, sys
print(json.dumps(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchall()))
"""
# Taken as squib takes it, and let go.
_BIND = """
import socket, sys
for port in map(int, sys.argv[1:]):
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", port))
    holder.listen()
"""


@dataclass(frozen=True)
class Leased:
    """A machine that has a network, as the store has it. `host` and `guest` are addresses; `port` is that of 127.0.0.1."""

    name: str
    tap: str
    host: str
    guest: str
    mac: str
    port: int


class Lab:
    """A host that is set up, with an artifact to run and a Firecracker that is made up."""

    def __init__(self, host: Namespace, folder: Path) -> None:
        self.host, self.folder = host, folder
        self.firecracker()
        self.env = {
            "PATH": f"{folder}/bin:{os.environ['PATH']}",
            "HOME": str(folder),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CACHE_HOME": str(folder / "cache"),
        }
        self.artifact = self.written("clock", outbound=False)
        self.rules = ""

    @property
    def state(self) -> Path:
        """The state folder as the host sees it, whatever is mounted there."""
        return Path(f"/proc/{self.host.pid}/root{self.folder}/state/squib")

    def firecracker(self, trouble: str = "") -> None:
        (self.folder / "bin").mkdir(exist_ok=True)
        fake_firecracker.write(self.folder / "bin", trouble)

    def written(self, name: str, *, outbound: bool) -> str:
        folder = self.folder / name
        folder.mkdir()
        for file in _FILES:
            (folder / file).write_bytes(_ELF)
        files = tuple(FileRecord(file, len(_ELF), hashlib.sha256(_ELF).hexdigest()) for file in _FILES)
        network = NetworkSettings(ports=(80,), outbound=outbound)
        appliance = Appliance(name, "a:b", folder, network=network)
        (folder / "manifest.json").write_bytes(
            manifest.encode(Manifest("0", ABI, appliance, KernelRecord("6", "test", 1), files, ()))
        )
        return str(folder)

    def squib(self, *arguments: str, status: int = 0) -> str:
        return self.host.squib(*arguments, status=status, env=self.env)

    def run(self, *arguments: str, artifact: str | None = None) -> dict[str, object]:
        text = self.squib("run", artifact or self.artifact, *RUN, *arguments)
        return dict(json.loads(text[text.index("{\n") : text.rindex("}") + 1]))

    def at(self, step: tuple[str, str, str], what: str, *arguments: str, status: int, folder: str = "") -> str:
        """A command that meets `what` at that step (module, function, before or after); what it says.

        `kill`: it is killed. `fill`: the file-system of `folder`, else of the state, is full from then on; `starve`: and the
        store's journal, whose room is kept so that it can still be written then, has none.
        """
        where = folder or f"{self.folder}/state/squib"
        command = self.host.command(sys.executable, "-c", _AT, *step, what, where, *arguments)
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | self.env, timeout=60, check=False)
        assert done.returncode == status, (step, what, done)
        assert "Traceback" not in done.stderr
        return done.stderr

    def kill_at(self, step: tuple[str, str, str], *arguments: str) -> None:
        self.at(step, "kill", *arguments, status=-signal.SIGKILL)

    def leases(self) -> list[tuple[str, str, str]]:
        """Tap, guest's address with prefix, MAC."""
        return self.rows("SELECT tap, guest, guest_mac FROM network_leases ORDER BY tap")

    def leased(self) -> list[Leased]:
        rows = self.rows(
            "SELECT name, tap, host, guest, guest_mac, host_port FROM network_leases"
            " JOIN machines ON id = network_leases.machine_id JOIN port_leases ON id = port_leases.machine_id ORDER BY name"
        )
        return [Leased(name, tap, host[:-3], guest[:-3], mac, port) for name, tap, host, guest, mac, port in rows]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """From the store. Asked there: SQLite would look for the path that /proc/PID/root stands for."""
        path = f"{self.folder}/state/squib/state.db"
        return [tuple(row) for row in json.loads(self.host.run(sys.executable, "-ISc", _QUERY, path, query))]

    def taps(self) -> set[str]:
        return set(re.findall(r"\bsquib\d+(?=:)", self.host.run("ip", "-o", "link")))

    def elements(self) -> dict[str, list[object]]:
        """Set or map of squib's table → its elements."""
        listing = json.loads(self.host.run("nft", "-j", "list", "table", "inet", "squib"))["nftables"]
        found = [entry.get("set") or entry.get("map") for entry in listing]
        return {one["name"]: one.get("elem", []) for one in found if one is not None}

    def guest(self, number: int) -> Guest:
        tap, guest, mac = self.leases()[number]
        address = guest.partition("/")[0]
        gateway = address.rpartition(".")[0] + f".{int(address.rpartition('.')[2]) - 1}"
        return Guest(self.host, tap, guest, gateway, mac)

    def processes(self) -> list[int]:
        """What has this host's homes in its environment: squib, and what it started."""
        mark = f"XDG_STATE_HOME={self.folder}/state".encode()
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue  # it has ended
        return found

    def left(self) -> set[str]:
        """Kinds of what there is of machines, whether or not somebody knows of it."""
        sockets = [line for line in self.host.run("cat", "/proc/net/unix").splitlines() if line.endswith("api.sock")]
        counts = ", ".join(f"(SELECT count(*) FROM {table})" for table in ("network_leases", "machines", "port_leases"))
        ((leases, machines, ports),) = self.rows(f"SELECT {counts}")
        there = {
            "lease": leases,
            "tap": self.taps(),
            "rules": self.host.rules() != self.rules,
            "process": self.processes(),
            "socket": sockets,
            "folder": list((self.state / "machines").iterdir()) if (self.state / "machines").is_dir() else [],
            "record": machines,
            "port": ports,
        }
        return {kind for kind, found in there.items() if found}

    def comes_to(self, kinds: set[str], after: object) -> None:
        """There is this much of machines, at once or in a moment: what was started goes on by itself."""
        end = time.monotonic() + 20
        while self.left() != kinds and time.monotonic() < end:
            time.sleep(0.05)
        assert self.left() == kinds, after

    def ports_are_free(self, ports: list[int]) -> None:
        self.host.run(*PYTHON, _BIND, *map(str, ports))

    def nothing_left(self) -> None:
        self.squib("ps")
        assert self.left() == set()
