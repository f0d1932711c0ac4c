"""A host of this bench's own, set up for machines' networks: a network namespace with an uplink that leads nowhere."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench.problem import Problem

__all__ = ["set_up"]

_UPLINK = (
    ("link", "set", "lo", "up"),
    ("link", "add", "uplink", "type", "veth", "peer", "name", "outside"),
    ("address", "add", "192.0.2.1/24", "dev", "uplink"),  # RFC 5737: for documentation
    ("link", "set", "outside", "up"),
    ("link", "set", "uplink", "up"),
    ("route", "add", "default", "via", "192.0.2.254"),
)


@contextmanager
def set_up(squib: Callable[..., object]) -> Iterator[tuple[str, ...]]:
    """Gives the words that run a command there. `squib(*words, within=…)` runs squib; needs root."""
    name = f"squib-bench-{os.getpid()}"
    within = ("ip", "netns", "exec", name)
    _ip("netns", "add", name)
    try:
        for words in _UPLINK:
            _ip("-n", name, *words)
        squib("host", "setup", within=within)
        try:
            yield within
        finally:
            squib("host", "teardown", within=within)
    finally:
        _ip("netns", "delete", name)


def _ip(*words: str) -> None:
    try:
        done = subprocess.run(("ip", *words), capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Problem("ip is not installed; tools/setup bench installs it") from None
    if done.returncode:
        raise Problem(f"ip {' '.join(words)}: {done.stderr.strip()}")
