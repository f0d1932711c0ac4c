"""wrk: what it is told, and what it tells."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec

from bench.problem import Problem
from bench.process import cores, on_core

_SCRIPT = Path(__file__).with_name("answers.lua")
_MARK = "BENCH "


class Load(msgspec.Struct, frozen=True):
    """What is asked: `headers` are `one` or `browser`; `differs` from one request to the next: `nothing`, `target` or `all`.

    `pipelined` requests are sent at once.
    """

    connections: int = 64
    headers: str = "one"
    differs: str = "nothing"
    pipelined: int = 1


class Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What wrk counted; `requests` are answers that came whole."""

    requests: int
    duration_us: int
    errors: int
    p50_us: float
    p90_us: float
    p99_us: float
    p999_us: float


def run(port: int, load: Load, seconds: int) -> Told:
    """Loads 127.0.0.1:`port` from a core of its own. Raises Problem where anything but good answers came."""
    argv = ["wrk", "-t1", f"-c{load.connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(_SCRIPT), f"http://127.0.0.1:{port}/",
            "--", load.headers, load.differs, str(load.pipelined)]  # fmt: skip
    try:
        with on_core(cores()[1]):
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Problem("wrk is not installed; tools/setup bench installs it") from None
    said = next((line for line in done.stdout.splitlines() if line.startswith(_MARK)), None)
    if done.returncode or said is None:
        raise Problem(f"wrk failed: {done.stderr.strip() or done.stdout.strip()}")
    told = msgspec.json.decode(said.removeprefix(_MARK), type=Told)
    if not told.requests:
        raise Problem(f"nothing was answered in {seconds} s: this machine is too busy to measure anything")
    if told.errors:
        raise Problem(f"wrk counted {told.requests} answers and {told.errors} errors")
    return told
