"""A user and a network namespace of this process's own, made by a plain user; and a program that stays outside of them.

Only for a process that has no threads, and that becomes another program afterwards. Nobody is mapped into the namespace but the
user himself, as its root (user_namespaces(7)): outside he is who he was, his supplementary groups stay in force, and files are
opened as before. What that gives are capabilities, over the new network alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import signal
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

from squib.errors import HostError, SquibError, UnavailableError
from squib.host import command
from squib.host.files import storage_errors
from squib.host.process import ProcessIdentity, identify

__all__ = ["HINT", "Outside", "drop_capabilities", "enter", "refusal"]

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000  # linux/sched.h
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 1, 24, 38, 47  # linux/prctl.h
_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522  # linux/capability.h
_LAST_CAPABILITY = 63

_TRIAL_S = 5.0
_TRIAL = f"""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
for flag in ({_CLONE_NEWUSER}, {_CLONE_NEWNET}):  # the network with the rights that the user namespace gave
    if libc.unshare(flag) != 0:
        print(os.strerror(ctypes.get_errno()))
        break
"""
HINT = "see what forbids it: squib doctor; or do without: --no-outbound, for Firecracker --network none"
"""What to do where a network in a namespace cannot be."""


def refusal() -> str:
    """Why this host gives this user no user namespace with a network in it; empty where it does.

    It is tried, in a child that ends at once.
    """
    try:
        said = command.run([sys.executable, "-I", "-S", "-c", _TRIAL], timeout=_TRIAL_S)
    except SquibError as error:
        return str(error)
    return said.decode("utf-8", "replace").strip()


def enter() -> None:
    """Puts this process into new namespaces, with all capabilities there, as programs that it runs have.

    Raises UnavailableError where this host does not let this user.
    """
    uid, gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        raise _refused(ctypes.get_errno())
    try:
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            Path("/proc/self", name).write_text(text, encoding="ascii")
    except OSError as error:
        raise _refused(error.errno or 0) from error


def drop_capabilities() -> None:
    """Gives up all capabilities for good: without a bounding set root has none after execve(2) either. Raises HostError."""
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL, 0, 0, 0) == 0
    for capability in range(_last_capability() + 1):
        done = libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == 0 and done
    done = libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 and done
    done = libc.capset(struct.pack("Ii", _CAPABILITY_VERSION_3, 0), bytes(24)) == 0 and done  # capset(2): none of any kind
    if not done:
        raise HostError(f"capabilities cannot be given up: {os.strerror(ctypes.get_errno())}")


def _last_capability() -> int:
    try:
        return min(_LAST_CAPABILITY, int(Path("/proc/sys/kernel/cap_last_cap").read_text(encoding="ascii")))
    except (OSError, ValueError):
        return 40  # CAP_CHECKPOINT_RESTORE, since Linux 5.9


def _refused(number: int) -> UnavailableError:
    why = "too many there are already, or none is allowed" if number in {errno.ENOSPC, errno.EUSERS} else os.strerror(number)
    return UnavailableError(f"this user cannot make a user namespace with a network: {why}", hint=HINT)


class Outside:
    """A program that runs outside of the namespaces, in the network that this process was in when it made this.

    It starts when it is told to, and the kernel kills it when this process ends, also when that has become another program.
    """

    def __init__(self, argv: Sequence[str], log: Path, *, keep: int) -> None:
        """`argv` begins with a path; what it prints is added to `log`; of descriptors it gets `keep`. Raises HostError."""
        libc = ctypes.CDLL(None, use_errno=True)
        self._name = Path(argv[0]).name
        reader, self._go = os.pipe()
        us = os.getpid()
        with storage_errors(log):
            out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._pid = os.fork()
        except OSError as error:
            raise HostError(f"{self._name} cannot be started: {error.strerror}") from error
        if self._pid == 0:
            with contextlib.suppress(BaseException):
                os.close(self._go)
                tied = libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) == 0 and os.getppid() == us
                if tied and os.read(reader, 1):
                    _execute(argv, out, keep)
            os._exit(127)
        os.close(reader)
        os.close(out)
        self._process = os.pidfd_open(self._pid)

    @property
    def identity(self) -> ProcessIdentity:
        """Which process it is; the program will be the same one. Raises HostError where it has ended."""
        identity = identify(self._pid)
        if identity is None:
            raise HostError(f"{self._name} was killed before it began")
        return identity

    def start(self) -> None:
        """Lets it begin."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._go, b"!")
        os.close(self._go)

    def wait(self, ready: int, timeout: float) -> bool:
        """Whether `ready` became readable within `timeout` seconds, before it ended."""
        poller = select.poll()
        for descriptor in (ready, self._process):
            poller.register(descriptor, select.POLLIN)
        return any(descriptor == ready for descriptor, _ in poller.poll(timeout * 1000))


def _execute(argv: Sequence[str], out: int, keep: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    for descriptor in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208 - of the VMM-to-be: its sockets, a machine's files
        if descriptor > 2:
            with contextlib.suppress(OSError):  # that of the folder itself
                os.set_inheritable(descriptor, descriptor == keep)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and pasta takes that for a failure of its own
    os.execv(argv[0], list(argv))
