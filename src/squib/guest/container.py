"""The program of a container, /bin/server: the server as a plain process; where it is PID 1, a small init above it.

PID 1 of a PID namespace gets no signal that it has no handler for, and every orphan (pid_namespaces(7)). So there the server is
a child in a session of its own, and PID 1 does two things: it hands on signals, and it reaps. It ends when the server has,
with its status. Under `docker run --init` and the like another program is PID 1, and nothing is forked.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found,unused-ignore]  # the C part of `signal`: the module around it imports enum
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

SPEC_PATH = "/etc/squib/appliance"
HANDED_ON = (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP, _signal.SIGQUIT, _signal.SIGUSR1, _signal.SIGUSR2)
_SIGNALLED = 128


def main(spec_path: str = SPEC_PATH) -> NoReturn:
    """Serves what the spec tells of, with the options in sys.argv; exits with the server's status."""
    if os.getpid() == 1:
        _fork_server()
    # After the fork: PID 1 needs none of it.
    from squib.guest import serve
    from squib.guest.spec import loads

    with open(spec_path, "rb") as file:
        spec = loads(file.read())
    sys.exit(serve.main(spec, sys.argv[1:], sys.argv[0]))


def _fork_server() -> None:
    """Returns in the server's process only; also in this one, where no other may be started (a pids limit of 1)."""
    # Blocked signals wait, also for PID 1: none is lost before the server is there.
    before = _signal.pthread_sigmask(_signal.SIG_BLOCK, (*HANDED_ON, _signal.SIGCHLD))
    try:
        server = os.fork()
    except OSError:
        server = 0
    else:
        if server == 0:
            os.setsid()  # else a terminal's Ctrl-C would reach it twice: from the terminal, and from PID 1
    if server == 0:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, before)
        return
    os._exit(_watch(server))


def _watch(server: int) -> int:
    """Hands on signals and reaps until `server` has ended; its exit status, 128 + N where signal N ended it."""
    while True:
        number = _signal.sigwait((*HANDED_ON, _signal.SIGCHLD))
        if number != _signal.SIGCHLD:
            os.kill(server, number)  # not reaped yet, so the number is still its own
            continue
        status = _reap(server)
        if status is not None:
            return os.WEXITSTATUS(status) if os.WIFEXITED(status) else _SIGNALLED + os.WTERMSIG(status)


def _reap(server: int) -> int | None:
    """Takes every process that has ended; gives the server's wait status once it is among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == server:
            found = status
