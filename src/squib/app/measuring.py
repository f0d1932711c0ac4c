"""How much memory an appliance needs: boots it with less and less, each time under a load, and keeps nothing of it.

Each trial is an ephemeral machine, as `squib run` in the foreground starts one. It counts where the machine gets ready, answers
every request of the load, has not had to restart its server or end a process for want of memory, and stops when asked to.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from squib.app.running import Running, Session
from squib.errors import GuestError, HostError, SquibError, UnavailableError, UsageError
from squib.formats.console_lines import Restart
from squib.host.ports import endpoint
from squib.model.image import Artifact
from squib.model.machine import PortForward, VmmChoice
from squib.model.memory_search import MemoryTrial, Range, least, next_size
from squib.model.progress import Progress
from squib.model.run import RunSpec
from squib.store import Machine
from squib.vmm.console_log import ConsoleLog
from squib.vmm.diagnosis import NotReadyInTimeError
from squib.vmm.guest_report import describe_cause
from squib.vmm.plan import ample_mem_size_mib, least_mem_size_mib, publications

__all__ = ["CONNECTIONS", "REQUESTS", "Measured", "measure_memory"]

CONNECTIONS, REQUESTS = 16, 400
"""The load: so many requests, divided among so many connections at once that are kept open."""

_LIMIT_MIB = 2048
_ANSWER_S = 30.0
_STOP_S = 15.0
_TIMED_OUT = f"no answer within {_ANSWER_S:g} s"
_TIME_OUTS = 2
"""So often a size is tried once more that took too long while ample memory did not."""
_SLOWER = 4
"""A boot that takes so many times as long as one with ample memory has too little."""
_SETTLE_S = 0.2
"""What a guest says of a killed process comes right behind it."""

_OUT_OF_MEMORY = b"Out of memory: Killed process"


@dataclass(frozen=True, slots=True)
class Measured:
    """What was tried, in order, and what follows; `least_mib` is None where nothing was enough."""

    trials: tuple[MemoryTrial, ...]
    floor_mib: int
    choice: VmmChoice

    @property
    def least_mib(self) -> int | None:
        """The least memory that is enough."""
        return least(self.trials)


class _TooLittleError(GuestError):
    """The machine goes on, but not well: ends a trial early."""


class _NoAnswerError(_TooLittleError):
    """An answer did not come in time."""


@dataclass(slots=True)
class _Watcher:
    """A run's events: notices what is not allowed to happen."""

    choice: VmmChoice | None = None
    _log: ConsoleLog = field(default_factory=ConsoleLog)
    _rest: bytes = b""

    def chosen(self, machine: Machine, choice: VmmChoice) -> None:  # noqa: ARG002 - as RunEvents has it
        """What it runs in."""
        self.choice = choice

    def output(self, data: bytes) -> None:
        """Bytes of the console. Raises where they tell that memory is short."""
        for line in self._log.feed(data):
            if isinstance(line, Restart):
                raise _TooLittleError(f"its server had to be started again ({describe_cause(line.cause)})")
        seen = self._rest + data
        if _OUT_OF_MEMORY in seen:
            raise _TooLittleError("it was out of memory, and ended a process")
        self._rest = seen[-len(_OUT_OF_MEMORY) :]

    def boots_again(self, error: GuestError) -> None:
        """As RunEvents has it."""

    def waited(self) -> None:
        """As RunEvents has it."""


def measure_memory(running: Running, artifact: Artifact, spec: RunSpec, report: Progress) -> Measured:
    """Tries sizes until the least is known. Raises SquibError where no trial can be made at all."""
    appliance = artifact.manifest.appliance
    if not publications(appliance, spec):
        raise UsageError(
            f"{appliance.name} publishes no port, so there is nothing to ask it", hint="name its ports in [network] ports"
        )
    within = Range(least_mem_size_mib(artifact), spec.mem_size_mib or appliance.machine.mem_size_mib, _LIMIT_MIB)
    ample = max(ample_mem_size_mib(artifact), within.start_mib)
    trials: list[MemoryTrial] = []
    choice: VmmChoice | None = None
    while (size := next_size(trials, within)) is not None:
        report(f"trying {size} MiB (boot {len(trials) + 1})", None)
        watcher = _Watcher()

        def attempt(tried: RunSpec, watcher: _Watcher = watcher) -> MemoryTrial:
            return _try(running, artifact, tried, watcher)

        trials.append(_decided(attempt, size, ample, spec, report))
        choice = watcher.choice or choice
    if choice is None:
        raise UsageError(f"nothing could be tried: {trials[-1].problem}")
    return Measured(tuple(trials), within.floor_mib, choice)


def _decided(
    attempt: Callable[[RunSpec], MemoryTrial], size: int, ample_mib: int, spec: RunSpec, report: Progress
) -> MemoryTrial:
    """A trial with `size` MiB that a time-out alone does not end: then a boot with ample memory tells how busy the host is.

    Raises HostError where that takes too long as well: the trial is undecided.
    """
    trial = attempt(replace(spec, mem_size_mib=size))
    for _ in range(_TIME_OUTS):
        if not trial.timed_out:
            break
        report(f"{size} MiB took too long: trying {ample_mib} MiB, to see how busy this host is", None)
        ample = attempt(replace(spec, mem_size_mib=max(size, ample_mib)))
        if ample.timed_out or ample.boot_s is None:
            raise HostError(
                f"undecided: the host was too busy, for a boot with {max(size, ample_mib)} MiB failed as well: {ample.problem}",
                hint=f"try again when it has less to do, or with --timeout {round(spec.ready_timeout_s * 3)}",
            )
        patience = max(spec.ready_timeout_s, _SLOWER * ample.boot_s)
        trial = attempt(replace(spec, mem_size_mib=size, ready_timeout_s=patience))
    return trial


def _try(running: Running, artifact: Artifact, spec: RunSpec, watcher: _Watcher) -> MemoryTrial:
    size = spec.mem_size_mib or 0
    boot_s = None
    try:
        with running.started(artifact, spec, watcher) as session:
            boot_s = round(session.boot_s, 2)
            _load(session, artifact)
            if session.vm.wait(_SETTLE_S, watcher.output) is not None:
                raise _TooLittleError("it ended by itself after the load")
            end = session.stop(_STOP_S, watcher.output)
            if end.status != 0:
                raise _TooLittleError(f"it did not stop as it should: {end.reason}")
    except (UnavailableError, HostError):
        raise  # this host's trouble, not the guest's
    except SquibError as error:
        if not isinstance(error, GuestError | UsageError):
            raise
        return MemoryTrial(size, str(error), boot_s, timed_out=isinstance(error, NotReadyInTimeError | _NoAnswerError))
    return MemoryTrial(size, "", boot_s, REQUESTS)


def _load(session: Session, artifact: Artifact) -> None:
    """Raises GuestError where an answer is missing, broken or an error."""
    health = artifact.manifest.appliance.health
    path = "/" if health is None else health.path
    problems: list[str] = []
    threads = [
        threading.Thread(target=_ask, args=(session.machine.forwards[0], path, REQUESTS // CONNECTIONS, problems), daemon=True)
        for _ in range(CONNECTIONS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        kind = _NoAnswerError if problems[0].endswith(_TIMED_OUT) else _TooLittleError
        raise kind(f"of {REQUESTS} requests not all were answered: {problems[0]}")


def _ask(where: PortForward, path: str, requests: int, problems: list[str]) -> None:
    """So many requests on one connection; the first problem ends it."""
    connection = http.client.HTTPConnection(str(where.host_address), where.host_port, timeout=_ANSWER_S)
    try:
        for _ in range(requests):
            if problems:
                return
            connection.request("GET", path, headers={"user-agent": "squib-measure"})
            response = connection.getresponse()
            response.read()
            if response.status >= 500:
                problems.append(f"status {response.status}")
    except TimeoutError:
        problems.append(f"{endpoint(where.host_address, where.host_port)}: {_TIMED_OUT}")
    except (OSError, http.client.HTTPException) as error:
        problems.append(f"{endpoint(where.host_address, where.host_port)}: {str(error) or type(error).__name__}")
    finally:
        connection.close()
