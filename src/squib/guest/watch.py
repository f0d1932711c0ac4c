"""Carries out what `supervisor` decides: waits for signals, readiness and time, and starts, ends and reaps processes.

Signals are blocked from PID 1's first moment and read from a signalfd. A blocked signal stays pending in the kernel, also one
whose action is the default (which PID 1 would otherwise never get: kernel/signal.c, sig_ignored), so none is lost, whenever it
comes; and one poll(2) waits for signals, the readiness pipe and the next deadline together, which sigtimedwait could not.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # see server_process
import os
import select
import struct
import time

from squib.guest import console, libc, supervisor, wall_clock
from squib.guest.marks import now_ns
from squib.guest.supervisor import (
    AnnounceHealth,
    AnnounceReady,
    AnnounceRestart,
    Checked,
    Died,
    Exit,
    Kill,
    Ready,
    Spawn,
    StartChecks,
    Stop,
    StopChecks,
    Terminate,
    Tick,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from squib.guest.console import Console
    from squib.guest.health import HealthProcess
    from squib.guest.marks import Marks
    from squib.guest.output import Output
    from squib.guest.server_process import ServerProcess
    from squib.guest.spec import Health

_STOP_SIGNALS = (_signal.SIGTERM, _signal.SIGINT)
_SIGNALS = (*_STOP_SIGNALS, _signal.SIGCHLD)
LAST_WORDS_S = 5.0
"""How long a slow console may take for what a server wrote before its end."""
PIPE_READS = 17
"""Reads that a full pipe takes at most (fs.pipe-max-size is 1 MiB), and one more."""


def block_signals() -> None:
    """From here signals wait until `Watch` reads them."""
    _signal.pthread_sigmask(_signal.SIG_BLOCK, _SIGNALS)


class Watch:
    """PID 1's loop. `spawn` starts a server, `check` a health process; `addresses` are what the readiness line shows.

    `output` is what these two write, on its way to the console `out`.

    `tell`: the marks of the start, told behind the first readiness line; None where nobody asked. `mend_clock`: sets the clock
    where it is wrong, as `wall_clock.mend`; None where it is somebody else's.
    """

    def __init__(
        self,
        out: Console,
        output: Output,
        rules: supervisor.Rules,
        spawn: Callable[[], ServerProcess],
        check: Callable[[Health], HealthProcess],
        *,
        addresses: list[str],
        tell: Marks | None = None,
        mend_clock: Callable[[], int | None] | None = None,
    ) -> None:
        self._out = out
        self._output = output
        self._rules = rules
        self._spawn = spawn
        self._check = check
        self._addresses = addresses
        self._tell = tell
        self._mend_clock = mend_clock
        self._clock_due_ms = 0
        self._server: ServerProcess | None = None
        self._checks: HealthProcess | None = None
        self._awaits_ready = False
        self._signal_fd = libc.signalfd(_SIGNALS)
        self._poll = select.poll()
        self._poll.register(self._signal_fd, select.POLLIN)

    def run(self) -> Exit:
        """Serves until the machine is to end; how it ends. Raises OSError where no process can be started."""
        try:
            return self._run()
        finally:
            self._relay_rest(LAST_WORDS_S)

    def _run(self) -> Exit:
        if self._mend_clock is not None:
            self._look_at_clock(self._mend_clock, wall_clock.FIRST_MS)
        state = supervisor.initial(console.uptime_ms())
        while True:
            for event in self._events(state.deadline_ms):
                state, actions = supervisor.decide(self._rules, state, event, console.uptime_ms())
                for action in actions:
                    if isinstance(action, Exit):
                        return action
                    self._do(action)

    def _events(self, deadline_ms: int | None) -> list[supervisor.Event]:
        """What happened, after waiting for it. Ready comes before Died: a server may do both in one turn.

        Stop comes before Died and Checked, so that a server that ends because it was asked to is not announced as restarted.
        """
        readable = self._wait(deadline_ms)
        # First, so that what the server wrote stands before what PID 1 says of it.
        if self._output.fd in readable:
            self._out.relay(*self._output.take())
        events: list[supervisor.Event] = []
        server = self._server
        # Once it was read, the number of its descriptor may be another's.
        if server is not None and self._awaits_ready and server.ready_fd in readable and self._took_ready(server):
            events.append(Ready())
        signalled = self._signal_fd in readable
        if signalled and self._stop_asked():
            events.append(Stop())
        if self._checks is not None and self._checks.report_fd in readable:
            events += self._take_reports(self._checks)
        if signalled:
            events += self._reap()
        events.append(Tick())
        return events

    def _look_at_clock(self, mend: Callable[[], int | None], again_ms: int) -> None:
        self._clock_due_ms = console.uptime_ms() + again_ms
        try:
            ahead_ms = mend()
        except OSError as error:
            self._mend_clock = None
            self._out.message(f"the clock is wrong and cannot be set: {error.strerror}")
            return
        if ahead_ms is not None:
            self._out.write(console.clock_line(ahead_ms))

    def _wait(self, deadline_ms: int | None) -> set[int]:
        """The descriptors that have something; what waits for the console is written meanwhile, and before more is read."""
        if self._mend_clock is not None:
            if console.uptime_ms() >= self._clock_due_ms:
                self._look_at_clock(self._mend_clock, wall_clock.THEN_MS)
            deadline_ms = self._clock_due_ms if deadline_ms is None else min(deadline_ms, self._clock_due_ms)
        timeout_ms = None if deadline_ms is None else max(0, deadline_ms - console.uptime_ms())
        self._poll.register(self._output.fd, select.POLLIN if self._out.has_room else 0)
        if not self._out.pending:
            return {fd for fd, _ in self._poll.poll(timeout_ms)}
        self._poll.register(self._out.fd, select.POLLOUT)
        readable = {fd for fd, _ in self._poll.poll(timeout_ms)} - {self._out.fd}
        self._poll.unregister(self._out.fd)
        self._out.flush()
        return readable

    def _relay_rest(self, patience_s: float = 0.0) -> None:
        """What was written by processes that are gone, as far as the console takes it within `patience_s`.

        Of what others go on writing, no more than a pipe holds.
        """
        deadline = time.monotonic() + patience_s
        for _ in range(PIPE_READS):
            self._out.flush_until(deadline)
            if not self._out.has_room:
                return
            first, rest = self._output.take()
            if not first and not rest:
                break
            self._out.relay(first, rest)
        self._out.relay(b"", self._output.end())

    def _took_ready(self, server: ServerProcess) -> bool:
        self._forget_ready_fd(server)
        ready = server.read_ready()
        if self._tell is not None:
            self._tell.add_record(server.marks)
        return ready

    def _forget_ready_fd(self, server: ServerProcess) -> None:
        self._poll.unregister(server.ready_fd)
        self._awaits_ready = False

    def _take_reports(self, checks: HealthProcess) -> list[Checked]:
        outcomes = checks.read_reports()
        if not outcomes:  # it is gone: the supervisor misses its reports in time
            self._end_checks()
        return [Checked(outcome) for outcome in outcomes]

    def _stop_asked(self) -> bool:
        """Reads all signals that wait; whether one of them asks to stop."""
        asked = False
        while True:
            try:
                records = os.read(self._signal_fd, 16 * libc.SIGNALFD_RECORD_BYTES)
            except BlockingIOError:
                return asked
            for offset in range(0, len(records), libc.SIGNALFD_RECORD_BYTES):
                (number,) = struct.unpack_from("=I", records, offset)
                asked = asked or number in _STOP_SIGNALS

    def _reap(self) -> list[Died]:
        """Collects every process that has ended, orphans too; the server's end is an event."""
        died: list[Died] = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return died
            if pid == 0:
                return died
            if self._server is not None and pid == self._server.pid:
                died.append(_cause(status))
                self._bury(self._server)
            elif self._checks is not None and pid == self._checks.pid:
                self._forget_checks(self._checks)

    def _bury(self, server: ServerProcess) -> None:
        if self._awaits_ready:
            self._forget_ready_fd(server)
            os.close(server.ready_fd)
        self._server = None
        self._relay_rest()
        _kill_group(server.pid)  # what the server started goes with it

    def _do(self, action: supervisor.Action) -> None:
        if isinstance(action, Spawn):
            self._start_server()
        elif isinstance(action, StartChecks):
            self._start_checks(action.health)
        elif isinstance(action, StopChecks):
            self._end_checks()
        elif isinstance(action, AnnounceReady):
            self._announce_ready()
        elif isinstance(action, AnnounceHealth):
            self._out.write(console.health_line(action.state, action.failures, action.outcome))
        elif isinstance(action, AnnounceRestart):
            self._out.write(console.restart_line(action.attempt, action.delay_ms, action.cause))
        elif self._server is not None and isinstance(action, Terminate):
            os.kill(self._server.pid, _signal.SIGTERM)
        elif self._server is not None and isinstance(action, Kill):
            _kill_group(self._server.pid)

    def _announce_ready(self) -> None:
        at_ns = now_ns()
        self._out.write(console.ready_line(self._addresses))
        told, self._tell = self._tell, None
        if told is not None:
            told.mark("ready", at_ns)
            _tell_marks(self._out, told)

    def _start_server(self) -> None:
        self._server = self._spawn()
        self._awaits_ready = True
        self._poll.register(self._server.ready_fd, select.POLLIN)

    def _start_checks(self, health: Health) -> None:
        self._end_checks()
        try:
            self._checks = self._check(health)
        except OSError as error:  # no process, no memory: tried again when its report is overdue
            self._out.message(f"the health process cannot be started: {error.strerror}")
            return
        self._poll.register(self._checks.report_fd, select.POLLIN)

    def _end_checks(self) -> None:
        checks = self._checks
        if checks is not None:
            self._forget_checks(checks)
            _kill_group(checks.pid)

    def _forget_checks(self, checks: HealthProcess) -> None:
        self._poll.unregister(checks.report_fd)
        os.close(checks.report_fd)
        self._checks = None


def _tell_marks(out: Console, marks: Marks) -> None:
    from squib.guest import kernel_log

    out.write(console.marks_line([*kernel_log.moments(), *marks.moments], kernel_log.available_kib()))


def _cause(status: int) -> Died:
    if os.WIFSIGNALED(status):
        return Died("signal", os.WTERMSIG(status))
    return Died("exit", os.WEXITSTATUS(status))


def _kill_group(pid: int) -> None:
    """SIGKILL to the session leader `pid` and its process group."""
    for kill in (os.kill, os.killpg):
        try:
            kill(pid, _signal.SIGKILL)
        except ProcessLookupError:
            continue
