"""Processes that are measured: started on a core of their own, their CPU time and memory read from outside, always ended.

CPU time is the kernel's own account of the process, all its threads with the ended ones, in nanoseconds
(clock_getcpuclockid(3)): what getrusage(2) tells a process of itself.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, NamedTuple

from bench.problem import Problem
from squib.host.files import cache_home

_CPUCLOCK_SCHED = 2
_END_S = 20


def cores() -> tuple[int, int]:
    """The core for what is measured, and that for what loads it; one and the same where there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started in here stays on `core`."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def running(
    argv: Sequence[str], *, core: int | None = None, log: IO[bytes] | None = None, environ: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process with its children in a group of their own, which is ended (SIGTERM, then SIGKILL) when this is left."""
    output = subprocess.DEVNULL if log is None else log
    try:
        with on_core(core) if core is not None else nullcontext():
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environ, start_new_session=True
            )
    except FileNotFoundError:
        raise Problem(f"{argv[0]} is not installed; tools/setup bench installs it") from None
    try:
        yield process
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_END_S if number == signal.SIGTERM else None)


def quiet_home(folder: Path) -> dict[str, str]:
    """An environment with homes of its own in `folder`, that shares the cached kernels of whoever runs this."""
    environ = dict(os.environ) | {
        "HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache"), "XDG_STATE_HOME": str(folder / "state"),
    }  # fmt: skip
    kernels = cache_home() / "kernels"
    if kernels.is_dir():
        (folder / "cache/squib").mkdir(parents=True)
        (folder / "cache/squib/kernels").symlink_to(kernels)
    return environ


class Spent(NamedTuple):
    """What a command took, its children with it."""

    wall_ms: float
    cpu_ms: float


def spent(argv: Sequence[str], *, environ: Mapping[str, str], folder: Path, may_fail: bool = False) -> Spent:
    """Runs a command to its end, its output thrown away. Raises Problem where it fails, and may not."""
    begin = time.monotonic()
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environ, cwd=folder
    )
    with process:
        said = process.stderr.read() if process.stderr else b""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall_ms = (time.monotonic() - begin) * 1000
    if process.returncode and not may_fail:
        raise Problem(f"{' '.join(argv)} ended with {process.returncode}: {said.decode(errors='replace').strip()}")
    return Spent(wall_ms, (usage.ru_utime + usage.ru_stime) * 1000)


@contextmanager
def piped(argv: Sequence[str]) -> Iterator[int]:
    """A process, as the descriptor that its output can be read from; it is ended at once when this is left."""
    read_end, write_end = os.pipe()
    try:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=write_end, stderr=write_end)
    except FileNotFoundError:
        os.close(read_end)
        raise Problem(f"{argv[0]} is not installed; tools/setup bench installs it") from None
    finally:
        os.close(write_end)
    try:
        yield read_end
    finally:
        os.close(read_end)
        process.kill()
        process.wait()


def family(pid: int) -> list[int]:
    """`pid` and its children, and theirs."""
    found = [pid]
    for parent in found:
        with suppress(OSError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def cpu_us(pid: int) -> float:
    """CPU microseconds of `pid` and its children since they began."""
    return sum(time.clock_gettime_ns(~member << 3 | _CPUCLOCK_SCHED) for member in family(pid)) / 1000


def resident_mib(pid: int) -> float:
    """VmRSS of the largest of `pid` and its children: of the process that does the work."""
    return max(_status_kib(member, "VmRSS") for member in family(pid)) / 1024


def _status_kib(pid: int, label: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == label:
            return int(value.split()[0])
    return 0  # a zombie has no memory
