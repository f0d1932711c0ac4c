"""Other processes, by an identity that cannot be recycled, and by descriptors instead of numbers.

A pid alone names whoever has it now. `ProcessIdentity` adds the start time and the boot; `Handle` holds a pidfd
(pidfd_open(2)) whose identity was checked after it was opened, so a signal reaches that process or none.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from squib.errors import HostError, PermissionDeniedError

if TYPE_CHECKING:
    import subprocess

__all__ = [
    "Handle",
    "ProcessIdentity",
    "adopt",
    "alive",
    "boot_id",
    "identify",
    "myself",
    "owner",
    "parse_identity",
    "stat_fields",
    "user_ids",
    "working_in",
    "works_in",
]

_ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """`start_time` in clock ticks since boot (proc(5), /proc/pid/stat field 22); `boot_id` as the kernel's random/boot_id."""

    pid: int
    start_time: int
    boot_id: str

    def __str__(self) -> str:
        return f"{self.pid} {self.start_time} {self.boot_id}"


def parse_identity(text: str) -> ProcessIdentity | None:
    """What `str` made of one; None where it is nothing of that kind."""
    words = text.split()
    if len(words) != 3 or not (words[0].isascii() and words[0].isdigit() and words[1].isascii() and words[1].isdigit()):
        return None
    return ProcessIdentity(int(words[0]), int(words[1]), words[2])


def boot_id() -> str:
    """A name for the time since this machine was started. Raises HostError."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError as error:
        raise HostError(f"/proc cannot be read: {error.strerror}", hint="squib needs /proc mounted") from error


def stat_fields(pid: int) -> list[bytes]:
    """The fields of /proc/pid/stat from its third on (the state), so that index N is proc(5)'s field N + 3. Raises OSError."""
    # The program's name, the second, stands in parentheses and may itself hold any byte, so the last one ends it.
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()


def identify(pid: int) -> ProcessIdentity | None:
    """Who has `pid` now; None where nobody does, or only a zombie."""
    try:
        fields = stat_fields(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    except OSError as error:
        raise HostError(f"/proc/{pid}/stat cannot be read: {error.strerror}") from error
    if not fields or fields[0] in {b"Z", b"X", b"x"}:
        return None
    return ProcessIdentity(pid, int(fields[19]), boot_id())


def myself() -> ProcessIdentity:
    """The identity of this process."""
    identity = identify(os.getpid())
    if identity is None:
        raise HostError("this process is not in /proc", hint="squib needs /proc of its own pid namespace")
    return identity


def alive(identity: ProcessIdentity) -> bool:
    """Whether exactly that process still runs."""
    return identify(identity.pid) == identity


def working_in(folder: Path, *, said_in: Path | None = None) -> tuple[ProcessIdentity, ...]:
    """This user's processes that a squib started in `folder`: those that nobody wrote down, because who started them died.

    They have it for their working folder, and a file in it (or in `said_in`) for their standard error, which tells them from
    somebody who is there to look around. Also those whose root it is, as that of a jailed one.
    """
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        identity = identify(int(entry.name))  # first: the number may be another's a moment later
        with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
            if identity is not None and _works_in(entry, folder, said_in):
                found.append(identity)
    return tuple(found)


def works_in(identity: ProcessIdentity, folder: Path) -> bool:
    """Whether that process is one of those that `working_in` finds in `folder`, which may have been deleted since."""
    try:
        return _works_in(Path(f"/proc/{identity.pid}"), folder, None) and alive(identity)
    except OSError:  # it ended, or is another user's
        return False


def _works_in(process: Path, folder: Path, said_in: Path | None) -> bool:
    where = str((process / "cwd").readlink())
    if where == str(_ROOT):
        return (process / "cwd").samefile(folder)
    told = folder.resolve()  # as the kernel tells it
    said = f"{told if said_in is None else said_in.resolve()}/"
    return where in {str(told), f"{told} (deleted)"} and str((process / "fd/2").readlink()).startswith(said)


def owner(identity: ProcessIdentity) -> int | None:
    """The user as whom that process runs; None where it has ended."""
    try:
        uid = Path(f"/proc/{identity.pid}").stat().st_uid
    except OSError:
        return None
    return uid if alive(identity) else None


def user_ids() -> frozenset[int]:
    """The real user of each process that runs now."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended meanwhile
                found.add(entry.stat().st_uid)
    return frozenset(found)


class Handle:
    """A process held by a pidfd; a context manager. Closing lets go of it and leaves it running."""

    def __init__(self, identity: ProcessIdentity, descriptor: int) -> None:
        self.identity = identity
        self._descriptor = descriptor
        self._status: int | None = None

    @classmethod
    def open(cls, identity: ProcessIdentity) -> Handle | None:
        """Holds that process, or None where it has ended (or its pid is another's now). Raises HostError."""
        try:
            descriptor = os.pidfd_open(identity.pid)
        except ProcessLookupError:
            return None
        except OSError as error:
            raise HostError(f"process {identity.pid} cannot be watched: {error.strerror}") from error
        # Only now: the descriptor cannot change hands any more, the pid could have until here.
        if not alive(identity):
            os.close(descriptor)
            return None
        return cls(identity, descriptor)

    @property
    def pid(self) -> int:
        """For people and for files; signals go by the descriptor."""
        return self.identity.pid

    @property
    def returncode(self) -> int | None:
        """As subprocess has it (negative: a signal), once ended; None where the process is nobody's child of ours."""
        return self._status

    def fileno(self) -> int:
        """The pidfd: readable once the process has ended."""
        return self._descriptor

    def wait(self, timeout: float) -> bool:
        """Whether it ended within `timeout` seconds; reaps it where it is our child."""
        poller = select.poll()
        poller.register(self._descriptor, select.POLLIN)
        if not poller.poll(max(0.0, timeout) * 1000):
            return False
        self._reap()
        return True

    def ended(self) -> bool:
        """Whether it has ended."""
        return self.wait(0)

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal; nothing happens where it has ended. Raises PermissionDeniedError."""
        try:
            signal.pidfd_send_signal(self._descriptor, number)
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise PermissionDeniedError(
                f"process {self.pid} belongs to another user", hint=f"see who owns it: ps -o user,args -p {self.pid}"
            ) from error

    def end(self, *, patience: float = 2.0) -> None:
        """SIGTERM, then after `patience` seconds SIGKILL; returns once it has ended. Raises HostError where it does not."""
        self.signal(signal.SIGTERM)
        if self.wait(patience):
            return
        self.kill()

    def kill(self) -> None:
        """SIGKILL, and waits until it has ended. Raises HostError where it does not (stuck in the kernel)."""
        self.signal(signal.SIGKILL)
        if not self.wait(10.0):
            raise HostError(
                f"process {self.pid} does not end, even by SIGKILL", hint=f"see where it hangs: cat /proc/{self.pid}/stack"
            )

    def _reap(self) -> None:
        if self._status is not None:
            return
        with contextlib.suppress(ChildProcessError):  # somebody else's child: its parent reaps it
            result = os.waitid(os.P_PIDFD, self._descriptor, os.WEXITED | os.WNOHANG)
            if result is not None:
                self._status = result.si_status if result.si_code == os.CLD_EXITED else -result.si_status

    def close(self) -> None:
        """Lets go of the process."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def adopt(child: subprocess.Popen[bytes]) -> Handle:
    """Takes a just started child over from `subprocess`: from here only the handle waits for it.

    Also right for a child that has ended already: it stays a zombie, and with it its pid, until the handle reaps it.
    """
    try:
        descriptor = os.pidfd_open(child.pid)
    except OSError as error:
        child.kill()
        child.wait()
        raise HostError(
            f"a started process cannot be watched: {error.strerror}",
            hint="squib needs Linux 5.4 or newer" if error.errno == errno.ENOSYS else "",
        ) from error
    # A Popen without a return code warns when it is collected while its process lives; this one is no longer its keeper.
    child.returncode = 0
    return Handle(identify(child.pid) or ProcessIdentity(child.pid, 0, boot_id()), descriptor)
