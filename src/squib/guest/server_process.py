"""The server process: a fork of PID 1 (no exec, so the interpreter starts once) that has nothing of PID 1's.

`start` and `fork` run in PID 1; everything below `_run` runs in the child, which never returns from it. The HTTP server and
the appliance's code are imported in the child only, after its privileges are gone. The health process is forked alike.
"""

from __future__ import annotations

# The C part of `signal`: the module around it imports enum. typeshed has no stub for it.
import _signal  # type: ignore[import-not-found]
import atexit
import os
import sys

from squib.guest import marks, privileges

TYPE_CHECKING = False  # typing's own is not worth importing typing for
if TYPE_CHECKING:
    from collections.abc import Callable

    # run(on_ready) -> exit status; on_ready(a record of marks)
    Program = Callable[[Callable[[bytes], None]], int]

EXIT_CRASHED = 70
_READY = b"1"


class ServerProcess:
    """A started server: its `pid`, and `ready_fd`, which is readable when the server is ready or gone.

    `marks`: the record of its marks (`Marks.to_record`), once it is ready; it is not to be trusted.
    """

    __slots__ = ("marks", "pid", "ready_fd")

    def __init__(self, pid: int, ready_fd: int) -> None:
        self.pid = pid
        self.ready_fd = ready_fd
        self.marks = b""

    def read_ready(self) -> bool:
        """Whether the server said that it is ready, once `ready_fd` is readable; closes it."""
        try:
            said = os.read(self.ready_fd, len(_READY) + marks.SERVER_RECORD_BYTES)
            self.marks = said[len(_READY) :]
            return said.startswith(_READY)
        finally:
            os.close(self.ready_fd)


def start(program: Program, keep_fds: tuple[int, ...], output_fd: int) -> ServerProcess:
    """Forks a server, which writes to the pipe `output_fd`; of PID 1's descriptors it keeps `keep_fds` only."""
    return ServerProcess(*fork(lambda ready_fd: program(lambda record: _say_ready(ready_fd, record)), keep_fds, output_fd))


def fork(run: Callable[[int], int], keep_fds: tuple[int, ...], output_fd: int) -> tuple[int, int]:
    """Forks a process that does `run(FD)` without privileges and exits with what that gives: its pid, and a pipe's end.

    What it writes to FD can be read there, and the end of it when it is gone. Raises OSError where there can be no process.
    """
    read_end, write_end = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        os.close(read_end)
        os.close(write_end)
        raise
    if pid == 0:
        _run(run, write_end, keep_fds, output_fd)
    os.close(write_end)
    return pid, read_end


def _run(run: Callable[[int], int], report_fd: int, keep_fds: tuple[int, ...], output_fd: int) -> None:
    status = EXIT_CRASHED
    try:
        os.setsid()
        _set_up_descriptors({report_fd, *keep_fds}, output_fd)
        privileges.drop()
        # PID 1 blocks its signals. From here SIGTERM ends the process, until the server has its own answer to it.
        _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
        status = run(report_fd)
        atexit._run_exitfuncs()  # noqa: SLF001 - what Py_Finalize would call: os._exit, which a fork must use, does not
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else EXIT_CRASHED
    except BaseException:  # noqa: BLE001 - whatever it was, it must not return into PID 1's code
        sys.excepthook(*sys.exc_info())
    finally:
        _flush()
        os._exit(status & 0xFF)


def _say_ready(ready_fd: int, record: bytes) -> None:
    os.write(ready_fd, _READY + record)
    os.close(ready_fd)


def _set_up_descriptors(keep: set[int], output_fd: int) -> None:
    """Standard input from /dev/null, both outputs to the pipe, for writing only; all others but `keep` are closed."""
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    # Opened anew: whether it blocks is of the open file, so what one process sets there does not meet the next one.
    output = os.open(f"/proc/self/fd/{output_fd}", os.O_WRONLY)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        if fd > 2 and fd not in keep:
            try:
                os.close(fd)
            except OSError:
                continue  # the one that listed the folder
    if sys.stdout is not None:  # PID 1's may be of a terminal: what an app prints is seen at once here as well
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            continue  # None, a dead console, or closed: nobody reads it
