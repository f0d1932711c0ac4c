"""The program squib as tests run it: with homes of its own, from any user."""

from __future__ import annotations

import os
import socket
import subprocess
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


def free_port() -> int:
    """A TCP port of loopback that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
