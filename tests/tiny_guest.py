"""Guests for tests of VMMs: an initrd with one program of a few system calls, which behaves as it is told.

And `FakeVmm`: a Python program in the place of VMM and guest, which behaves the same, for the same tests.
"""

from __future__ import annotations

import os
import signal
import sys
from enum import StrEnum
from functools import cache
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

from squib.errors import SquibError
from squib.formats.cpio import pack
from squib.formats.syscall_program import Call, assemble
from squib.host import command
from squib.host.process import Handle, ProcessIdentity, adopt
from squib.model.machine import MachineConfig, PortForward, UserNetwork
from squib.model.tree import Device, File, RootfsTree
from squib.vmm.process_vm import ProcessVm
from squib.vmm.run_dir import CONSOLE, file_bytes, make_run_dir
from support import missing


class Behaviour(StrEnum):
    """What a guest does after its boot line; SILENT and DIES_EARLY never print that."""

    SERVES = "serves"  # until asked to stop
    FLOODS = "floods"  # serves, after FLOOD
    STUBBORN = "stubborn"  # serves, and ignores the wish to stop
    USAGE = "usage"
    FAILED = "failed"
    CRASHED = "crashed"
    NEVER_READY = "never-ready"
    SILENT = "silent"
    PANICS = "panics"
    DIES_EARLY = "dies-early"  # before the boot line: of the fake only
    VANISHES = "vanishes"  # ends without a word


BOOT = b"squib.boot abi=3 uptime_ms=12\n"
READY = b"squib.ready abi=3 uptime_ms=34 listen=tcp:0.0.0.0:80\n"
FLOOD = (b"x" * 99 + b"\n") * 240
STOPPED = b"squib.exit abi=3 status=0 reason=stopped cause=none\n"
ENDS = {
    Behaviour.USAGE: b"clock: unknown option '--prot'\nsquib.exit abi=3 status=64 reason=usage cause=none\n",
    Behaviour.FAILED: b"squib.init: eth0: no such device\nsquib.exit abi=3 status=71 reason=failed cause=none\n",
    Behaviour.CRASHED: b"squib.exit abi=3 status=70 reason=crashed cause=none\n",
}

_WRITE, _SIGPROCMASK, _IOCTL, _PAUSE, _SIGTIMEDWAIT, _REBOOT, _EXIT = 1, 14, 16, 34, 128, 169, 60
_ALL_SIGNALS = b"\xff" * 8


def _say(text: bytes) -> Call:
    return Call(_WRITE, (1, text, len(text)))


def _reboot(what: int) -> Call:
    return Call(_REBOOT, (0xFEE1DEAD, 672274793, what, 0))


_END = (Call(_IOCTL, (1, 0x5409, 1)), _reboot(0x01234567))
_NO_CAD = (Call(_SIGPROCMASK, (0, _ALL_SIGNALS, 0, 8)), _reboot(0))


def _calls(behaviour: Behaviour) -> tuple[Call, ...]:
    match behaviour:
        case Behaviour.SERVES:
            return (*_NO_CAD, _say(BOOT), _say(READY), Call(_SIGTIMEDWAIT, (_ALL_SIGNALS, 0, 0, 8)), _say(STOPPED), *_END)
        case Behaviour.FLOODS:
            rest = (_say(FLOOD), _say(READY), Call(_SIGTIMEDWAIT, (_ALL_SIGNALS, 0, 0, 8)), _say(STOPPED), *_END)
            return (*_NO_CAD, _say(BOOT), *rest)
        case Behaviour.STUBBORN:
            return (*_NO_CAD, _say(BOOT), _say(READY), Call(_PAUSE))
        case Behaviour.NEVER_READY:
            return (_say(BOOT), Call(_PAUSE))
        case Behaviour.SILENT:
            return (Call(_PAUSE),)
        case Behaviour.PANICS:
            return (_say(BOOT), Call(_EXIT, (0,)))
        case Behaviour.VANISHES:
            return (_reboot(0x01234567),)
        case _:
            return (_say(BOOT), _say(ENDS[behaviour]), *_END)


def initrd(behaviour: Behaviour) -> bytes:
    """A cpio archive whose /init behaves so."""
    return pack(RootfsTree.of((Device("/dev/console", 5, 1), File("/init", assemble(_calls(behaviour)), 0o755))))


def config(
    folder: Path, behaviour: Behaviour, *, forwards: tuple[PortForward, ...] = (), kernel: Path | None = None
) -> MachineConfig:
    """A machine with that guest; its initrd is written to `folder`."""
    path = folder / f"{behaviour}.img"
    path.write_bytes(initrd(behaviour))
    network = UserNetwork(IPv4Interface("10.0.2.15/24"), IPv4Address("10.0.2.2"), "52:54:00:73:71:62", forwards)
    return MachineConfig("tiny", kernel or Path("/no/kernel"), path, (f"tiny={behaviour}",), 112, 1, (), (network,))


@cache
def vmlinux() -> Path:
    """A kernel for tests: $SQUIB_TEST_KERNEL, else the distribution's as squib gets it."""
    if given := os.environ.get("SQUIB_TEST_KERNEL"):
        return Path(given)
    from squib.wiring import kernel_source

    try:
        return kernel_source(None, None).obtain(lambda *_: None).vmlinux
    except SquibError as error:
        missing(f"no kernel: {error}")
        raise


class FakeVm(ProcessVm):
    """A Python program that is told to stop by SIGINT."""

    elsewhere = "use a real one"

    def __init__(self, process: Handle, run_dir: Path) -> None:
        super().__init__("the fake", process, run_dir / CONSOLE)

    def _ask_to_stop(self, timeout: float) -> None:
        self._process.signal(signal.SIGINT)

    def _pull_plug(self, timeout: float) -> None:
        self._process.signal(signal.SIGTERM)


class FakeVmm:
    """As QEMU, at no cost: the guest's behaviour is read from the machine's kernel arguments."""

    name = "fake"

    def launch(self, config: MachineConfig, run_dir: Path) -> FakeVm:
        make_run_dir(run_dir)
        behaviour = next(argument.removeprefix("tiny=") for argument in config.kernel_args if argument.startswith("tiny="))
        line = (sys.executable, "-ISc", _PROGRAM, behaviour, str(run_dir / CONSOLE))
        bound = file_bytes(config, run_dir)
        with (run_dir / "fake.log").open("wb") as log:
            child = command.spawn(line, cwd=run_dir, stdout=log, stderr=log, new_session=True, file_bytes=bound)
            return FakeVm(adopt(child), run_dir)

    def attach(self, identity: ProcessIdentity, run_dir: Path) -> FakeVm | None:
        process = Handle.open(identity)
        return None if process is None else FakeVm(process, run_dir)


_PROGRAM = f"""
import os, signal, sys
behaviour, console = sys.argv[1:]
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
fd = os.open(console, os.O_WRONLY | os.O_APPEND)
say = lambda text: os.write(fd, text.replace(b"\\n", b"\\r\\n"))
if behaviour == "vanishes":
    sys.exit(0)
if behaviour == "silent":
    signal.pause()
if behaviour == "dies-early":
    say(b"[    0.5] Kernel panic - not syncing: IO-APIC + timer doesn't work!  Boot with apic=debug\\n")
    sys.exit(0)
say({BOOT!r})
if behaviour == "floods":
    for _ in range(240):
        try:
            say(b"x" * 99 + b"\\n")
        except OSError:
            pass
if behaviour in ("serves", "stubborn", "floods"):
    try:
        say({READY!r})
    except OSError:
        pass
    while signal.sigwait([signal.SIGINT]) and behaviour == "stubborn":
        pass
    say({STOPPED!r})
elif behaviour == "never-ready":
    signal.pause()
elif behaviour == "panics":
    say(b"[    0.9] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000000\\n")
else:
    say({ {str(key): value for key, value in ENDS.items()}!r}[behaviour])
"""
