"""Boots of an appliance, watched: when each step was reached, what was used, and whether that is within its budgets.

Each boot is an ephemeral machine, as `squib run` in the foreground starts one, so nothing of it is left however this ends.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from squib.app.running import Running, Session
from squib.errors import GuestError
from squib.formats.console_lines import Boot, Marks, Ready
from squib.host.ports import endpoint
from squib.model.appliance import BudgetSettings
from squib.model.boot import BootReport, Finding, Timeline
from squib.model.image import ROOTFS, Artifact
from squib.model.machine import PortForward, VmmChoice
from squib.model.progress import Progress
from squib.model.run import RunSpec
from squib.model.units import KIB, MIB
from squib.probe.http import Answer, ask
from squib.store import Machine
from squib.vmm.boot_timeline import Sighting, timeline
from squib.vmm.console_log import ConsoleLog

__all__ = ["Watched", "findings", "watch_boots"]

MARKS_PARAMETER = "squib-boot.marks"
"""Asks PID 1 for its marks (docs/guest-abi.md)."""
_MARKS_S = 5.0
"""They come right behind the readiness line."""
_LOOK_S = 0.05
_ANSWER_S = 30.0


@dataclass(frozen=True, slots=True)
class Watched:
    """The report, and what was booted: as the last round's machine was."""

    report: BootReport
    machine: Machine
    choice: VmmChoice


@dataclass(slots=True)
class _Recorder:
    """A run's events, each with the moment at which it was seen; asks the first question as soon as it can be answered."""

    path: str
    launched_s: float = 0.0
    arrivals: list[tuple[float, int]] = field(default_factory=list)
    marks: Marks | None = None
    answer: Answer | None = None
    _forwards: tuple[PortForward, ...] = ()
    _log: ConsoleLog = field(default_factory=ConsoleLog)

    def chosen(self, machine: Machine, choice: VmmChoice) -> None:  # noqa: ARG002 - as RunEvents has it
        """The VMM is started right after this."""
        self._forwards = machine.forwards
        self.launched_s = time.monotonic()

    def output(self, data: bytes) -> None:
        """Bytes of the console, as they come."""
        now_s = time.monotonic()
        for line in self._log.feed(data):
            match line:
                case Boot(uptime_ms):
                    self.arrivals.append((now_s, uptime_ms))
                case Ready(uptime_ms) if self.answer is None:
                    self.arrivals.append((now_s, uptime_ms))
                    self._ask()
                case Marks():
                    self.marks = line
                case _:
                    continue

    def boots_again(self, error: GuestError) -> None:  # noqa: ARG002 - as RunEvents has it
        """The boot that is told of is the second one."""
        self.launched_s = time.monotonic()
        self.arrivals.clear()

    def waited(self) -> None:
        """As RunEvents has it."""

    def _ask(self) -> None:
        if self._forwards:
            first = self._forwards[0]
            self.answer = ask(f"http://{endpoint(first.host_address, first.host_port)}{self.path}", _ANSWER_S)

    @property
    def sighting(self) -> Sighting:
        """What was seen."""
        answered_s = None if self.answer is None else self.answer.asked_at_s + self.answer.latency_us / 1_000_000
        return Sighting(self.launched_s, tuple(self.arrivals), self.marks, answered_s)


def watch_boots(running: Running, artifact: Artifact, spec: RunSpec, *, rounds: int, report: Progress) -> Watched:
    """Boots `artifact` `rounds` times, one after the other. Raises SquibError where one does not get ready, or answer."""
    appliance = artifact.manifest.appliance
    timelines: list[Timeline] = []
    used_mib: list[float] = []
    seen: tuple[Machine, VmmChoice] | None = None
    for number in range(rounds):
        report(f"boot {number + 1} of {rounds}", number / rounds if rounds > 1 else None)
        recorder = _Recorder("/" if appliance.health is None else appliance.health.path)
        with running.started(artifact, spec, recorder, kernel_args=(MARKS_PARAMETER,)) as session:
            _await_marks(session, recorder)
            seen = session.machine, session.choice
        if recorder.answer is not None and recorder.answer.error:
            raise GuestError(
                f"{appliance.name} got ready, but its first answer failed: {recorder.answer.error}",
                hint="run it with its console: squib run",
            )
        timelines.append(timeline(recorder.sighting))
        if recorder.marks is not None and recorder.marks.available_kib:
            used_mib.append(session.config.mem_size_mib - recorder.marks.available_kib * KIB / MIB)
    if seen is None:
        raise ValueError("no round at all")
    rootfs_mib = next(file.size for file in artifact.manifest.files if file.name == ROOTFS) / MIB
    least_mib = min(used_mib, default=None)
    budgets = findings(appliance.budget, min(one.end_ms for one in timelines), rootfs_mib, least_mib)
    return Watched(BootReport(tuple(timelines), rootfs_mib, least_mib, budgets), *seen)


def findings(budget: BudgetSettings, boot_ms: float, rootfs_mib: float, used_mib: float | None) -> tuple[Finding, ...]:
    """Each budget that is set, against what was measured."""
    pairs = (
        ("boot_ms", budget.boot_ms, boot_ms),
        ("rootfs_mib", budget.rootfs_mib, rootfs_mib),
        ("memory_mib", budget.memory_mib, used_mib),
    )
    return tuple(Finding(name, limit, measured) for name, limit, measured in pairs if limit is not None)


def _await_marks(session: Session, recorder: _Recorder) -> None:
    """Reads on until the guest has told its marks; one that does not is taken as it is."""
    deadline_s = time.monotonic() + _MARKS_S
    while recorder.marks is None and time.monotonic() < deadline_s:
        end = session.vm.wait(_LOOK_S, recorder.output)
        if end is not None:
            raise GuestError(f"the machine ended right after it was ready: {end.reason}", hint="see its console: squib run")
