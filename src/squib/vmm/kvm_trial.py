"""Whether KVM runs guests: the kernel that is to run is booted under it, alone, and must print its first words in time.

A /dev/kvm that opens proves nothing: behind it may be no hardware, and a guest that never gets anywhere. The answer is kept for
this boot of the host, this kernel and this VMM, which each says how it boots a kernel alone (`TrialBoot`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from squib.errors import SquibError
from squib.host import command
from squib.host.command import Argument
from squib.host.files import cache_home, staging, storage_errors, write_atomic
from squib.host.follow import Follower
from squib.host.kvm import KvmDevice
from squib.host.process import adopt, boot_id
from squib.vmm.run_dir import clear_run_dir, make_run_dir

__all__ = ["TRIAL_S", "Trial", "TrialBoot", "evidence", "forget", "kept", "trial", "try_boot"]

TRIAL_S = 2.5
"""Seconds for a kernel's first words; under hardware KVM they take about 0.2. The rest of 3 s is for ending it."""

_FIRST_WORDS = b"Linux version "
_MAX_KEPT = 32
_LOG = "vmm.log"


@dataclass(frozen=True, slots=True)
class TrialBoot:
    """How a VMM boots a kernel alone: `line` is run in a machine's folder, for which `files` are written first.

    The console is CONSOLE in that folder: the VMM's standard output, where `console_on_stdout`, else it writes it itself.
    """

    vmm: str
    program: Path
    line: tuple[Argument, ...]
    console_on_stdout: bool = False
    files: tuple[tuple[str, bytes], ...] = ()


class Trial(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What came of a trial boot: whether the kernel spoke, after how many milliseconds.

    Where it did not, `problem` is for people, and `said` is what the VMM said itself.
    """

    works: bool
    elapsed_ms: int
    problem: str = ""
    said: str = ""


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The cache: trials by `_key`, oldest first."""

    trials: dict[str, Trial]


def evidence(outcome: Trial, device: KvmDevice) -> str:
    """What a trial showed, in words that go on from "because"."""
    driver = f"driver {device.module}" if device.module else "driver unknown"
    if outcome.works:
        return f"a trial boot of this kernel spoke after {outcome.elapsed_ms} ms ({driver})"
    return f"/dev/kvm is there, but {outcome.problem} ({driver}{'' if device.hardware else ', no hardware behind it'})"


def trial(boot: Callable[[], TrialBoot], kernel_sha256: str, program: Path) -> Trial:
    """What came of booting that kernel by `program`: the answer that is kept, else a new one, which is then kept."""
    if (known := kept(kernel_sha256, program)) is not None:
        return known
    new = try_boot(boot(), timeout=TRIAL_S)
    path = _path()
    recent = dict([*_read(path).items(), (_key(kernel_sha256, program), new)][-_MAX_KEPT:])
    with contextlib.suppress(SquibError):  # without a cache the next run tries again
        write_atomic(path, msgspec.json.encode(_Kept(recent)), 0o600)
    return new


def try_boot(boot: TrialBoot, *, timeout: float) -> Trial:
    """Boots a kernel alone until it speaks, or for `timeout` seconds. Its VMM has ended when this returns or raises."""
    start = time.monotonic()
    with staging(cache_home()) as folder, contextlib.ExitStack() as stack:
        console = make_run_dir(folder / "trial")
        # An interrupt between the start of the VMM and its handle leaves it known by its folder only.
        stack.callback(clear_run_dir, console.parent)
        with storage_errors(console.parent):
            for name, content in boot.files:
                (console.parent / name).write_bytes(content)
        seen, ended = _until_it_speaks(boot, console, start + timeout)
        elapsed_ms = round((time.monotonic() - start) * 1000)
        if _FIRST_WORDS in seen:
            return Trial(works=True, elapsed_ms=elapsed_ms)
        said = (console.parent / _LOG).read_text(encoding="utf-8", errors="replace").strip()[-1000:]
        problem = (
            f"{boot.vmm} died in a trial boot" if ended else f"a trial boot of this kernel showed nothing in {timeout:g} s"
        )
        return Trial(works=False, elapsed_ms=elapsed_ms, problem=problem, said=said)


def _until_it_speaks(boot: TrialBoot, console: Path, deadline: float) -> tuple[bytes, bool]:
    """What it showed, and whether its VMM ended by itself."""
    with Follower(console) as follower, (console.parent / _LOG).open("wb") as log, console.open("ab") as shown:
        stdout = shown if boot.console_on_stdout else log
        process = adopt(command.spawn(boot.line, cwd=console.parent, stdout=stdout, stderr=log, new_session=True))
        with process:
            try:
                seen, ended = b"", False
                while _FIRST_WORDS not in seen and not ended and (left := deadline - time.monotonic()) > 0:
                    ended = follower.wait(process, left)
                    seen += follower.read()
            finally:
                process.kill()
    return seen, ended


def kept(kernel_sha256: str, program: Path) -> Trial | None:
    """The answer that is kept for this boot of the host, this kernel and this VMM."""
    return _read(_path()).get(_key(kernel_sha256, program))


def forget() -> None:
    """Drops every kept answer, so that the next one is new. Raises PermissionDeniedError and its kin."""
    path = _path()
    with storage_errors(path):
        path.unlink(missing_ok=True)


def _path() -> Path:
    return cache_home() / "kvm-trials.json"


def _key(kernel_sha256: str, program: Path) -> str:
    with storage_errors(program):
        stat = program.stat()
    return f"{boot_id()} {kernel_sha256} {program} {stat.st_mtime_ns}"


def _read(path: Path) -> dict[str, Trial]:
    """What is kept; nothing where the file is missing or damaged: it can be made again."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Kept).trials
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return {}
