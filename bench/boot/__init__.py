"""bench/boot: how long squib's appliance takes to boot, against the least that serves HTTP on the same kernel.

Counted: from an initramfs, by a clock that counts instructions, so that it repeats on any machine. Watched: as it is used, from
an ext4 disk, in wall time, in rounds that alternate.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bench.boot import counted, images, watched
from bench.boot.kernels import Candidate, candidates
from bench.boot.shown import charts, promises, tables
from bench.problem import Problem
from bench.results import Measure, Promise
from bench.rounds import QUICK_ROUNDS, ROUNDS, alternate
from squib.build import artifact, ext4
from squib.errors import SquibError
from squib.host.appliances import CLOCK, find_appliance
from squib.model.progress import silent

__all__ = ["PROGRAMS", "charts", "measure", "tables"]

PROGRAMS = {"qemu": ["qemu-system-x86_64", "--version"], "busybox": ["busybox"], "e2fsprogs": ["mke2fs", "-V"]}
_COUNTED_ROUNDS = 2
"""That there is a second one shows that the first repeats."""


def measure(*, quick: bool) -> tuple[list[Measure], list[Promise]]:
    """Both ways, with every kernel that is here."""
    measures: list[Measure] = []
    try:
        for candidate in candidates():
            with tempfile.TemporaryDirectory(prefix="squib-bench-") as folder:
                measures += _counted(candidate, Path(folder), quick=quick)
                measures += _watched(candidate, Path(folder), rounds=QUICK_ROUNDS if quick else ROUNDS)
    except SquibError as error:
        raise Problem(f"{error}; {error.hint}" if error.hint else str(error)) from error
    return measures, promises(measures)


def _counted(candidate: Candidate, folder: Path, *, quick: bool) -> list[Measure]:
    if not candidate.takes_initramfs:  # from a disk the clock goes on while it waits: hundreds of times what is to be counted
        print(f"bench: boot: the {candidate.name} kernel takes no initramfs: not counted", file=sys.stderr)
        return []
    case = f"counted, {candidate.name} kernel"
    rounds = QUICK_ROUNDS if quick else _COUNTED_ROUNDS
    plan = artifact.plan_artifact(find_appliance(CLOCK, Path("/")), candidate.kernel, silent)
    trees = {"squib": plan.rootfs, "floor": images.floor(counted.BEGIN, counted.READY)}
    measures: list[Measure] = []
    for who, tree in trees.items():
        image = folder / f"{who}.img"
        image.write_bytes(images.initramfs(tree, candidate.kernel))
        print(f"bench: boot: counting {who} on the {candidate.name} kernel", file=sys.stderr)
        runs = [counted.boot(candidate.kernel.vmlinux, image) for _ in range(rounds)]
        measures += [Measure(f"at {mark}", who, case, "ms", [round(run[mark], 3) for run in runs]) for mark in runs[0]]
        measures.append(Measure("initramfs", who, case, "MiB", [round(image.stat().st_size / (1 << 20), 2)]))
    return measures


def _watched(candidate: Candidate, folder: Path, *, rounds: int) -> list[Measure]:
    appliance = find_appliance(CLOCK, Path("/"))
    built = artifact.write_artifact(artifact.plan_artifact(appliance, candidate.kernel, silent), folder / "out", silent)
    disk = folder / "floor.ext4"
    ext4.write(images.floor("", watched.READY), disk, ext4.find_programs())
    machines = {"squib": watched.configuration(built, built.rootfs), "floor": watched.configuration(built, disk)}
    calls = {who: lambda config=config: watched.boot(config) for who, config in machines.items()}
    found = alternate(calls, rounds, f"boot: watched, {candidate.name} kernel")
    case = f"watched, {candidate.name} kernel"
    return [
        Measure(what, who, case, "ms", [round(getattr(times, name), 1) for times in values])
        for who, values in found.items()
        for what, name in (("ready", "ready_ms"), ("cpu", "cpu_ms"), ("answer", "answer_ms"))
    ]
