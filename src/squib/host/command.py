"""The one door to other programs: argv lists, never a shell, always a deadline, and a command to paste in each error."""

from __future__ import annotations

import contextlib
import os
import resource
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from squib.errors import HostError, PermissionDeniedError, UnavailableError

__all__ = ["Argument", "find", "run", "spawn", "stream"]

Argument = str | Path

_ADMIN_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where e2fsprogs and friends lie; a plain user's PATH often lacks them, though anyone may run them."""

_TAIL_LINES = 15
_PR_SET_PDEATHSIG = 1
"""linux/prctl.h."""


def find(program: str, *, package: str) -> Path:
    """The path of `program`. Raises UnavailableError that names the Debian `package` holding it."""
    path = shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *_ADMIN_FOLDERS]))
    if path is None:
        raise UnavailableError(f"the program {program} is not installed", hint=f"sudo apt-get install {package}")
    return Path(path)


def run(
    argv: Sequence[Argument],
    *,
    input: bytes | None = None,  # noqa: A002 - as subprocess calls it
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float,
    package: str = "",
    complaint: Callable[[str], bool] = lambda _: False,
) -> bytes:
    """Runs a program to its end and returns its standard output.

    `env` replaces the whole environment; `timeout` is in seconds. The program is looked up with `find`. A line on standard
    error that is a `complaint` is a failure, for programs whose status does not tell.
    Raises UnavailableError (not there), PermissionDeniedError (may not be run), HostError (failed, or took too long).
    """
    program = Path(argv[0]) if "/" in str(argv[0]) else find(str(argv[0]), package=package or str(argv[0]))
    command = [str(program), *map(str, argv[1:])]
    try:
        done = subprocess.run(command, input=input, cwd=cwd, env=env, timeout=timeout, capture_output=True, check=False)
    except subprocess.TimeoutExpired as error:
        raise HostError(
            f"{program.name} did not end within {timeout:g} s",
            hint=f"run it by hand: {shlex.join(command)}",
            detail=_tail(error.stderr),
        ) from error
    except OSError as error:
        raise _not_started(program, error) from error
    complaints = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if complaint(line)]
    if done.returncode != 0 or complaints:
        raise HostError(
            f"{program.name} failed ({_status(done.returncode)})",
            hint=f"run it by hand: {shlex.join(command)}",
            detail=_tail(done.stderr) or _tail(done.stdout),
        )
    return done.stdout


def stream(
    argv: Sequence[Argument],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout: float,
    on_line: Callable[[str], None],
) -> None:
    """Runs a program to its end and gives each line of its output, both streams as one, to `on_line` as it comes.

    All that it started ends with it: where this returns or raises (an interrupt too), nobody writes to `cwd` any more.
    Raises as `run` does.
    """
    program = find(str(argv[0]), package=str(argv[0]))
    command = [str(program), *map(str, argv[1:])]
    try:
        child = subprocess.Popen(
            command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise _not_started(program, error) from error
    lines: deque[str] = deque(maxlen=_TAIL_LINES)
    begin = time.monotonic()
    late = threading.Timer(timeout, _kill_group, (child,))
    late.daemon = True
    with child:
        late.start()
        try:
            for data in child.stdout or ():  # it ends when nobody is left who could write
                lines.append(line := data.decode("utf-8", "replace").rstrip())
                on_line(line)
            returncode = child.wait()
        except BaseException:
            _end_group(child)
            raise
        finally:
            late.cancel()
    if returncode != 0:
        too_long = time.monotonic() - begin >= timeout
        raise HostError(
            f"{program.name} did not end within {timeout:g} s"
            if too_long
            else f"{program.name} failed ({_status(returncode)})",
            hint=f"run it by hand: {shlex.join(command)}",
            detail="\n".join(lines).strip(),
        )


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """Kills its whole session; whoever had the other end of the pipe is gone once that ends."""
    _kill_group(child)
    for _ in child.stdout or ():
        pass


def spawn(
    argv: Sequence[Argument],
    *,
    cwd: Path,
    stdout: IO[bytes] | int,
    stderr: IO[bytes] | int,
    new_session: bool,
    stdin: IO[bytes] | int | None = None,
    pass_fds: Sequence[int] = (),
    file_bytes: int | None = None,
    dies_with_us: bool = False,
) -> subprocess.Popen[bytes]:
    """Starts a program; whoever called owns the process. Without a `stdin` it reads /dev/null.

    `file_bytes` is how long a file it may write: a write past that fails with EFBIG, and no signal comes with it.
    `dies_with_us`: the kernel kills it when this process ends, however it ends; for a process that has no threads.

    Raises UnavailableError, PermissionDeniedError or HostError where it cannot be started.
    """
    command = [str(part) for part in argv]
    try:
        with contextlib.nullcontext() if file_bytes is None else _blocked(signal.SIGXFSZ):
            child = subprocess.Popen(
                command,
                cwd=cwd,
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=new_session,
                pass_fds=tuple(pass_fds),
                preexec_fn=_tied_to_us() if dies_with_us else None,  # noqa: PLW1509 - without threads nothing can hang there
                restore_signals=file_bytes is None,  # Python ignores SIGXFSZ, and so will the program
            )
    except OSError as error:
        raise _not_started(Path(command[0]), error) from error
    if file_bytes is not None:
        _limit_file_size(child, file_bytes)
    return child


def _tied_to_us() -> Callable[[], None]:
    """What a child does before it becomes the program: prctl(2), PR_SET_PDEATHSIG, which the program inherits."""
    import ctypes

    prctl, us = ctypes.CDLL(None, use_errno=True).prctl, os.getpid()

    def tie() -> None:
        if prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0 or os.getppid() != us:  # we may have ended before it was told
            os._exit(127)

    return tie


@contextlib.contextmanager
def _blocked(number: signal.Signals) -> Iterator[None]:
    """This thread's mask, which a program inherits: one that is not ignored but handled (as by Firecracker) never arrives."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [number])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _limit_file_size(child: subprocess.Popen[bytes], size: int) -> None:
    # After the start and not in the child before it: code between fork and exec may hang in a process with threads.
    try:
        _, hard = resource.prlimit(child.pid, resource.RLIMIT_FSIZE)
        most = size if hard == resource.RLIM_INFINITY else min(size, hard)
        resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (most, most))
    except OSError as error:
        child.kill()
        child.wait()
        raise HostError(f"the files of a started program cannot be bounded: {error.strerror}") from error


def _not_started(program: Path, error: OSError) -> UnavailableError | PermissionDeniedError | HostError:
    if isinstance(error, FileNotFoundError):
        return UnavailableError(f"the program {program} is not there")
    if isinstance(error, PermissionError):
        return PermissionDeniedError(f"{program} may not be run by this user", hint=f"ls -l {shlex.quote(str(program))}")
    return HostError(f"{program} could not be started: {error.strerror}")


def _status(returncode: int) -> str:
    return f"exit status {returncode}" if returncode >= 0 else f"signal {-returncode}"


def _tail(output: bytes | None) -> str:
    lines = (output or b"").decode("utf-8", "replace").strip().splitlines()
    return "\n".join(lines[-_TAIL_LINES:])
