"""The program squib as tests run it: with homes of its own, from any user."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import random
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Squib:
    """Runs squib; `command` is how to start it, `home` holds its cache and its state."""

    command: tuple[str, ...]
    home: Path
    extra: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    cwd: Path | None = None

    @property
    def env(self) -> dict[str, str]:
        keep = {name: os.environ[name] for name in ("PATH", "LANG", "SQUIB_DEBUG") if name in os.environ}
        return (
            keep
            | {
                "HOME": str(self.home),
                "XDG_CACHE_HOME": str(self.home / "cache"),
                "XDG_STATE_HOME": str(self.home / "state"),
                "COLUMNS": "100",
            }
            | self.extra
        )

    def run(self, *arguments: str, timeout: float = 110) -> subprocess.CompletedProcess[str]:
        """One command to its end. Never raises for a status: tests look at it."""
        return subprocess.run(
            [*self.prefix, *self.command, *arguments],
            capture_output=True, text=True, timeout=timeout, env=self.env, cwd=self.cwd or self.home, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip

    def ok(self, *arguments: str, timeout: float = 110) -> str:
        """One command that must work; its standard output."""
        done = self.run(*arguments, timeout=timeout)
        assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A command that goes on; in a session of its own, so that a signal to it hits it alone."""
        return subprocess.Popen(
            [*self.prefix, *self.command, *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.env, cwd=self.cwd or self.home, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip

    def processes(self) -> list[int]:
        """Ids of all processes that have this home in their environment: what a command left running."""
        mark = f"XDG_STATE_HOME={self.home / 'state'}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if (
                        mark in (entry / "environ").read_bytes().split(b"\0")
                        and b"Z" not in (entry / "stat").read_bytes().rpartition(b")")[2][:3]
                    ):
                        found.append(int(entry.name))
                except OSError:
                    continue
        return found


_BLOCKS, _BLOCK = range(10_000, 32_000, 200), 200
"""Below the ports that the kernel gives to those who name none (ip_local_port_range starts at 32,768)."""


@functools.cache
def own_ports() -> Iterator[int]:
    """Ports of a block that no other run of these tests on this machine takes, in a circle.

    The block is this run's as long as its process holds an abstract Unix socket of that name (unix(7)).
    """
    for first in random.sample(_BLOCKS, len(_BLOCKS)):
        holder = socket.socket(socket.AF_UNIX)
        try:
            holder.bind(f"\0squib-tests-ports-{first}")
        except OSError:
            holder.close()
            continue
        _holders.append(holder)
        return itertools.cycle(range(first, first + _BLOCK))
    raise AssertionError("every block of ports is in use by another run of the tests")


_holders: list[socket.socket] = []


def free_port() -> int:
    """A TCP port that nobody listens on, and that no other run of the tests will take."""
    for port in itertools.islice(own_ports(), _BLOCK):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that have ended do not count
            with contextlib.suppress(OSError):
                probe.bind(("0.0.0.0", port))
                return port
    raise AssertionError("every port of this run's block is in use")
