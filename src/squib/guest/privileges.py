"""How a process of root becomes the server process: it gives up every privilege for good, and then looks whether it has.

The order is the kernel's: the bounding set and hard limits need capabilities, so they come first; a change of user id from 0
empties the other sets (capabilities(7)); `no_new_privs` lets nothing come back through execve, and lets a process without
capabilities set a filter of system calls (seccomp(2)).
"""

from __future__ import annotations

import errno
import os

from squib.guest import libc, seccomp

SERVER_ID = 65532
"""User and group id of the server: the number that images without a root user commonly have."""
OPEN_FILES = 8192
"""RLIMIT_NOFILE: 1,024 connections, the listeners, and what an application opens itself."""
_NO_CAPABILITIES = "0000000000000000"
_IDS = f"{SERVER_ID}\t" * 3 + str(SERVER_ID)

WANTED = {
    "Uid": _IDS,
    "Gid": _IDS,
    "Groups": "",
    "CapInh": _NO_CAPABILITIES,
    "CapPrm": _NO_CAPABILITIES,
    "CapEff": _NO_CAPABILITIES,
    "CapBnd": _NO_CAPABILITIES,
    "CapAmb": _NO_CAPABILITIES,
    "NoNewPrivs": "1",
    "Seccomp": "2",
}


class PrivilegeProblem(Exception):  # noqa: N818 - what the guest reports are problems
    """A privilege is still there."""


def drop() -> None:
    """Gives up all privileges of this process. Raises OSError, or PrivilegeProblem where the kernel shows one left."""
    libc.set_rlimit(libc.RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES)
    libc.set_rlimit(libc.RLIMIT_CORE, 0, 0)
    _drop_bounding_set()
    libc.prctl(libc.PR_CAP_AMBIENT, libc.PR_CAP_AMBIENT_CLEAR_ALL)
    os.setgroups([])
    os.setresgid(SERVER_ID, SERVER_ID, SERVER_ID)
    os.setresuid(SERVER_ID, SERVER_ID, SERVER_ID)
    libc.clear_capabilities()
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    _filter_system_calls()
    left = privileges_left(_read("/proc/self/status"))
    if left:
        raise PrivilegeProblem(f"the server process still has privileges: {'; '.join(left)}")


def _filter_system_calls() -> None:
    try:
        libc.set_seccomp_filter(seccomp.program())
    except OSError as error:
        if error.errno != errno.EINVAL:  # a kernel without filters
            raise


def privileges_left(status: str) -> list[str]:
    """The lines of /proc/PID/status that differ from those of a process with no privilege, as `NAME is VALUE`.

    A kernel that was built without CONFIG_SECCOMP has no line of this name.
    """
    lines = (line.partition(":") for line in status.splitlines())
    found = {name: value.strip() for name, _, value in lines}
    found.setdefault("Seccomp", WANTED["Seccomp"])
    return [f"{name} is {found.get(name, 'missing')!r}" for name, value in WANTED.items() if found.get(name) != value]


def _drop_bounding_set() -> None:
    capability = 0
    while True:
        try:
            libc.prctl(libc.PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno == errno.EINVAL:
                return  # past the last one that this kernel has
            raise
        capability += 1


def _read(path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 65536).decode("ascii", "replace")
    finally:
        os.close(fd)
