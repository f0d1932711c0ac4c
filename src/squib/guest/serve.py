"""The server process from its options to its exit status.

`main` is the plain process behind `squib serve`; inside an appliance PID 1 does the first half, and its child `run_server`.
Exit statuses are those of docs/exit-codes.md.
"""

from __future__ import annotations

# The C part of `signal`: the module around it imports enum. typeshed has no stub for it.
import _signal  # type: ignore[import-not-found,unused-ignore]
import errno
import os
import sys

from squib.guest import environment
from squib.guest import listeners as listening
from squib.guest import options as command_line
from squib.guest.limits import Limits
from squib.guest.logs import Logs
from squib.guest.server import Server
from squib.guest.stopping import StopSignals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable, Mapping, Sequence

    from squib.guest.answering import Answer
    from squib.guest.logs import Log
    from squib.guest.options import Options
    from squib.guest.spec import Spec

EXIT_USAGE = 64
EXIT_APPLIANCE = 65
EXIT_SYSTEM = 71
EXIT_TAKEN = 75
EXIT_PERMISSION = 77
_LISTEN_EXITS = {errno.EADDRINUSE: EXIT_TAKEN, errno.EACCES: EXIT_PERMISSION, errno.EPERM: EXIT_PERMISSION}


class HandlerProblem(Exception):  # noqa: N818 - what the guest reports are problems
    """The appliance's handler cannot be had; `str()` says why. The cause, where there is one, is what it raised."""


def main(spec: Spec, argv: Sequence[str], command: str, environ: Mapping[str, str] = os.environ) -> int:
    """The plain process; `argv` are the arguments behind `command`. Gives the exit status."""
    _open_standard_descriptors()
    if sys.stdout is not None:
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # what an app prints is seen at once, as in the guest
    if _signal.getsignal(_signal.SIGINT) != _signal.SIG_IGN:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # up to run_server's own: an end without a traceback
    try:
        options = command_line.parse(spec, argv, environ, command)
    except command_line.UsageProblem as problem:
        _say(str(problem))
        return EXIT_USAGE
    if options.help is not None:
        from squib.guest import manpage

        return manpage.show(spec, options.help, command, environ)
    try:
        sockets = listening.open_listeners(options)
    except listening.ListenError as problem:
        _say(f"{spec.name}: {problem}")
        return _LISTEN_EXITS.get(problem.errno, EXIT_SYSTEM)
    try:
        return run_server(spec, options, sockets, lambda: None)
    finally:
        if options.socket is not None:
            _remove(options.socket)


def run_server(spec: Spec, options: Options, listeners: Sequence[socket], on_ready: Callable[[], None]) -> int:
    """Serves on `listeners`, which it closes, until SIGTERM or SIGINT; calls `on_ready` when it enters its loop."""
    logs = Logs(options.logs)
    logs.warn_of_unknown_sources()
    log = logs.source("http")
    sys.path[:0] = spec.sys_path
    environment.add_keys(options.values)
    try:
        answer = load_handler(spec.serve)
    except HandlerProblem as problem:
        _log_problem(logs.source("app"), problem)
        logs.flush()
        return EXIT_APPLIANCE
    limits = Limits()
    server = Server(answer, options.values, listeners, limits=limits, logs=logs)
    signals = StopSignals(server.request_stop, server.wake_fd, limits.stop_s)
    for listener in listeners:
        log.add(3, f"listening on {listening.describe_for_log(listener)}")
    logs.flush()
    status = 0
    try:
        server.run(on_ready)
    finally:
        status = signals.finish()
    return status


def load_handler(serve: str) -> Answer:
    """The function that "MODULE:FUNCTION" names. Raises HandlerProblem."""
    module_name, _, function_name = serve.partition(":")
    try:
        __import__(module_name)
    except BaseException as error:
        from squib.guest.raised import told

        raise HandlerProblem(f"cannot import {module_name}: {told(error)}") from error
    answer: object = getattr(sys.modules[module_name], function_name, None)
    if not callable(answer):
        raise HandlerProblem(f"{module_name} has no function {function_name}")
    return answer


def _log_problem(log: Log, problem: HandlerProblem) -> None:
    log.error(str(problem).replace("\n", " "))
    if log.debug and problem.__cause__ is not None:
        import traceback

        for line in traceback.format_exception(problem.__cause__):
            log.add(4, line)


def _open_standard_descriptors() -> None:
    """Whoever started this may have closed them; no socket may come to stand where the log is written."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gives the least free number: `fd`


def _say(text: str) -> None:
    if sys.stderr is not None:  # None: it was closed at the start
        sys.stderr.write(f"{text}\n")


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return  # somebody else was quicker
