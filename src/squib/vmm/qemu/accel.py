"""KVM or emulation: decided by evidence, in at most 3 seconds, and said in one plain sentence.

A /dev/kvm that opens proves nothing: behind it may be no hardware, and a guest that never gets anywhere. So the kernel that is
to run is started under KVM, alone, and must print its first words in time. The answer is kept for this boot of the host, this
kernel and this QEMU.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import msgspec

from squib.errors import SquibError, UnavailableError
from squib.host import command, kvm
from squib.host.files import cache_home, staging, storage_errors, write_atomic
from squib.host.follow import Follower
from squib.host.kvm import KvmDevice
from squib.host.process import adopt, boot_id
from squib.model.machine import Accel, AccelChoice
from squib.vmm.qemu.argv import trial_argv
from squib.vmm.run_dir import clear_run_dir, make_run_dir

__all__ = ["TRIAL_S", "AccelChoice", "Trial", "choose", "forget", "kept", "trial", "try_boot"]

TRIAL_S = 2.5
"""Seconds for a kernel's first words; under hardware KVM they take about 0.2. The rest of 3 s is for ending it."""

_FIRST_WORDS = b"Linux version "
_MAX_KEPT = 32


class Trial(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What came of a trial boot: whether the kernel spoke, after how many milliseconds.

    Where it did not, `problem` is for people, and `said` is what QEMU said itself.
    """

    works: bool
    elapsed_ms: int
    problem: str = ""
    said: str = ""


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The cache: trials by `_key`, oldest first."""

    trials: dict[str, Trial]


def choose(
    wanted: Accel | None, *, kernel: Path, kernel_sha256: str, program: Path, device: KvmDevice | None = None
) -> AccelChoice:
    """`wanted` is None for `auto`. `device` is for tests. Raises UnavailableError where KVM was wanted and does not work."""
    if wanted is Accel.TCG:
        return AccelChoice(Accel.TCG, "emulation (TCG), as asked for")
    found = kvm.look() if device is None else device
    if found.problem:
        return _without_kvm(wanted, found.problem, found.hint)
    outcome = trial(kernel, kernel_sha256, program)
    driver = f"driver {found.module}" if found.module else "driver unknown"
    if outcome.works:
        return AccelChoice(
            Accel.KVM, f"KVM, because a trial boot of this kernel spoke after {outcome.elapsed_ms} ms ({driver})"
        )
    evidence = f"/dev/kvm is there, but {outcome.problem} ({driver}{'' if found.hardware else ', no hardware behind it'})"
    return _without_kvm(wanted, evidence, "use --accel tcg, or a host with hardware virtualisation", outcome.said)


def _without_kvm(wanted: Accel | None, why: str, hint: str, said: str = "") -> AccelChoice:
    if wanted is Accel.KVM:
        raise UnavailableError(
            f"KVM does not work here: {why}", hint=hint or "use --accel tcg, which works everywhere", detail=said
        )
    return AccelChoice(Accel.TCG, f"emulation (TCG), because {why}")


def try_boot(kernel: Path, accel: Accel, *, program: Path, timeout: float) -> Trial:
    """Boots `kernel` alone until it speaks, or for `timeout` seconds. Its QEMU has ended when this returns or raises."""
    start = time.monotonic()
    with staging(cache_home()) as folder, contextlib.ExitStack() as stack:
        console = make_run_dir(folder / "trial")
        # An interrupt between the start of QEMU and its handle leaves it known by its folder only.
        stack.callback(clear_run_dir, console.parent)
        with Follower(console) as follower, (console.parent / "qemu.log").open("wb") as log:
            line = trial_argv(kernel, accel, program=program)
            process = adopt(command.spawn(line, cwd=console.parent, stdout=log, stderr=log, new_session=True))
            with process:
                try:
                    seen, ended = b"", False
                    while _FIRST_WORDS not in seen and not ended and (left := start + timeout - time.monotonic()) > 0:
                        ended = follower.wait(process, left)
                        seen += follower.read()
                    elapsed_ms = round((time.monotonic() - start) * 1000)
                finally:
                    process.kill()
        if _FIRST_WORDS in seen:
            return Trial(works=True, elapsed_ms=elapsed_ms)
        said = (console.parent / "qemu.log").read_text(encoding="utf-8", errors="replace").strip()[-1000:]
        problem = "QEMU died in a trial boot" if ended else f"a trial boot of this kernel showed nothing in {timeout:g} s"
        return Trial(works=False, elapsed_ms=elapsed_ms, problem=problem, said=said)


def trial(kernel: Path, kernel_sha256: str, program: Path) -> Trial:
    """What came of booting `kernel` under KVM: the answer that is kept, else a new one, which is then kept."""
    if (known := kept(kernel_sha256, program)) is not None:
        return known
    new = try_boot(kernel, Accel.KVM, program=program, timeout=TRIAL_S)
    path = _path()
    recent = dict([*_read(path).items(), (_key(kernel_sha256, program), new)][-_MAX_KEPT:])
    with contextlib.suppress(SquibError):  # without a cache the next run tries again
        write_atomic(path, msgspec.json.encode(_Kept(recent)), 0o600)
    return new


def kept(kernel_sha256: str, program: Path) -> Trial | None:
    """The answer that is kept for this boot of the host, this kernel and this QEMU."""
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
