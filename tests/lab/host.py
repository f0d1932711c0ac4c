"""One lab host from its first boot to its verdict. Where the emulation kills it before that, another one takes its place."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab import files, layout, machine, stuck, verdict
from lab.layout import Request
from lab.machine import End, LabMachine
from squib.host import command

DEATHS = "death-{}-console.log"
BOOTS = 3
"""How many hosts may be used up for one verdict (docs/lab.md)."""
_GRACE_S = 90.0
"""For the boot, and for a last word after the guest's own limit."""


@dataclass(frozen=True, slots=True)
class Host:
    """What is asked of a host, what it is made of, and the folder that all it leaves goes into."""

    request: Request
    lab: LabMachine
    out: Path

    @property
    def results(self) -> Path:
        """What it wrote itself."""
        return self.out / "results"


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who looks on: `say` takes sentences, `show` the console as it comes; `stop` ends the machine."""

    say: Callable[[str], None]
    show: Callable[[bytes], None]
    stop: threading.Event


def run(host: Host, program: Path, watcher: Watcher) -> tuple[int, str]:
    """An exit status, and a sentence for people."""
    began, number = time.monotonic(), 1
    host.out.mkdir(exist_ok=True)
    for left in (host.out / stuck.NAME, *host.out.glob(DEATHS.format("*"))):
        left.unlink(missing_ok=True)
    end = _boot(host, program, watcher)
    while end not in {End.LIMIT, End.STOPPED} and not verdict.given(host.results) and number < BOOTS:
        _tell_death(host, end, number, watcher)
        number, end = number + 1, _boot(host, program, watcher)
    status, said = verdict.judge(host.results)
    if end is not End.BY_ITSELF and not status:
        status, said = verdict.FAILED, f"its verdict is success, but the machine did not end by itself: {end.value}"
    return status, f"{said}; {time.monotonic() - began:.0f} s in all"


def _tell_death(host: Host, end: End, number: int, watcher: Watcher) -> None:
    console = host.out / DEATHS.format(number)
    (host.out / "console.log").replace(console)
    if end is End.STUCK:
        watcher.say(f"where it stopped:\n{stuck.places(host.out / stuck.NAME)}")
    watcher.say(f"the lab host died without a verdict ({end.value}); see {console.name}. Another one, from the start")


def _boot(host: Host, program: Path, watcher: Watcher) -> End:
    """One boot with an empty second disk; its results are brought out however it ended."""
    shutil.rmtree(host.results, ignore_errors=True)
    for old in (host.lab.scratch, host.lab.pulse, host.lab.monitor):
        old.unlink(missing_ok=True)
    files.scratch(host.request, host.lab.scratch)
    line = machine.argv(host.lab, program, interactive=False)
    limit_s = host.request.limit_s + _GRACE_S
    end = machine.boot(line, host.out / "console.log", host.lab, limit_s=limit_s, show=watcher.show, stop=watcher.stop)
    _bring_out(host)
    return end


def _bring_out(host: Host) -> None:
    """Copies the folder of results, also where the machine was cut off."""
    debugfs = command.find("debugfs", package="e2fsprogs")
    inside = layout.RESULTS.removeprefix(layout.SCRATCH)
    command.run((debugfs, "-R", f"rdump {inside} {host.out}", host.lab.scratch), timeout=60)
