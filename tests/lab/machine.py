"""The lab host as a machine: QEMU with an emulated AMD processor that has SVM and nested paging, so that KVM works inside.

`argv` is pure; `boot` runs it, copies the console to a file and to whoever watches, and ends it at its limit, or where its kernel has stopped:
PID 1 writes a byte a second to the second serial port, and whatever else the machine does, that goes on.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import IO

from lab import stuck

_KERNEL_ARGS = "console=ttyS0 loglevel=3 reboot=t panic=-1 root=/dev/vda ro cryptomgr.notests mitigations=off"


@dataclass(frozen=True, slots=True)
class LabMachine:
    """What the machine is made of: files, and its sizes (docs/lab.md)."""

    kernel: Path
    initrd: Path
    root: Path
    scratch: Path
    pulse: Path
    """What the second serial port is written to."""
    monitor: Path
    """The socket of QEMU's monitor."""
    mem_size_mib: int = 1536
    vcpu_count: int = 1


class End(Enum):
    """How a boot ended."""

    BY_ITSELF = "it ended by itself"
    STATUS = "QEMU failed"
    LIMIT = "it did not end before its limit"
    STUCK = "its kernel stopped"
    STOPPED = "it was told to"


def argv(machine: LabMachine, program: Path, *, interactive: bool) -> tuple[str, ...]:
    """QEMU's command line. The console is its standard output, or the terminal where it is `interactive`."""
    console = "stdio,id=console,mux=on,signal=off" if interactive else "stdio,id=console,signal=off"
    return (
        *(str(program), "-name", "squib-lab", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"),
        *("-machine", "q35", "-accel", "tcg,thread=single,tb-size=256", "-cpu", "max,+svm,+npt"),
        *("-smp", str(machine.vcpu_count), "-m", f"{machine.mem_size_mib}M"),
        *("-kernel", str(machine.kernel), "-initrd", str(machine.initrd), "-append", _KERNEL_ARGS),
        *("-chardev", console, "-serial", "chardev:console", *(("-mon", "chardev=console") if interactive else ())),
        *("-serial", f"file:{machine.pulse}", "-qmp", f"unix:{machine.monitor},server=on,wait=off"),
        *("-blockdev", f"driver=raw,node-name=root,read-only=on,file.driver=file,file.filename={machine.root}"),
        *("-device", "virtio-blk-pci,drive=root"),
        # Lost with the machine: nothing is gained by flushing it.
        *(
            "-blockdev",
            f"driver=raw,node-name=scratch,cache.no-flush=on,discard=unmap,file.driver=file,file.filename={machine.scratch}",
        ),
        *("-device", "virtio-blk-pci,drive=scratch"),
        *("-netdev", "user,id=net0,ipv6=off,restrict=on", "-device", "virtio-net-pci,netdev=net0,romfile="),
        *("-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng"),
    )


def boot(
    line: tuple[str, ...],
    console: Path,
    machine: LabMachine,
    *,
    limit_s: float,
    show: Callable[[bytes], None],
    stop: threading.Event,
    patience_s: float = 90.0,
) -> End:
    """Runs the machine to its end, or until `stop`; its console goes to `console` and to `show`.

    `patience_s` without a pulse: it is stuck, and what its processors were at is written beside the console.
    """
    with console.open("wb") as log, _running(line, stdout=subprocess.PIPE) as qemu:
        assert qemu.stdout is not None
        reader = threading.Thread(target=_copy, args=(qemu.stdout, log, show), daemon=True)
        reader.start()
        try:
            end = _watch(qemu, machine.pulse, stop, limit_s, patience_s)
            if end is End.STUCK:
                stuck.write(console.with_name(stuck.NAME), machine.monitor, qemu.pid)
        finally:
            qemu.kill()
            reader.join()
    return end


def _watch(qemu: subprocess.Popen[bytes], pulse: Path, stop: threading.Event, limit_s: float, patience_s: float) -> End:
    began = beaten = time.monotonic()
    beats = 0
    while (now := time.monotonic()) < began + limit_s:
        if stop.is_set():
            return End.STOPPED
        with contextlib.suppress(subprocess.TimeoutExpired):
            return End.STATUS if qemu.wait(0.5) else End.BY_ITSELF
        found = pulse.stat().st_size if pulse.exists() else 0
        if found != beats:
            beats, beaten = found, now
        elif now > beaten + patience_s:
            return End.STUCK
    return End.LIMIT


def shell(line: tuple[str, ...]) -> None:
    """Runs the machine with this terminal as its console."""
    with _running(line, stdout=None) as qemu:
        qemu.wait()


@contextlib.contextmanager
def _running(line: tuple[str, ...], *, stdout: int | None) -> Iterator[subprocess.Popen[bytes]]:
    stdin = subprocess.DEVNULL if stdout is not None else None
    group = 0 if stdout is not None else None  # at a terminal QEMU is in the foreground
    with subprocess.Popen(line, stdin=stdin, stdout=stdout, process_group=group) as qemu:
        try:
            yield qemu
        finally:
            qemu.kill()
            qemu.wait()


def _copy(source: IO[bytes], log: IO[bytes], show: Callable[[bytes], None]) -> None:
    last = b""
    while data := os.read(source.fileno(), 65536):
        log.write(data)
        log.flush()
        show(data.replace(b"\r\n", b"\n"))
        last = data[-1:]
    if last not in {b"", b"\n"}:
        show(b"\n")  # a machine that was cut off had begun a line, with the name of the test that it was at
