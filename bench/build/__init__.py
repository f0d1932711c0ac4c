"""bench/build: how long a build takes, cold and warm, and how large what it makes is, part by part.

Cold: nothing is cached but the kernel. Warm: the build before was of the same appliance; all is still read, made and compared.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

from bench.chart import Stack, stacks
from bench.problem import Problem
from bench.process import Spent, quiet_home, spent
from bench.promises import number
from bench.results import Measure, Promise, Results
from bench.rounds import QUICK_ROUNDS, ROUNDS, alternate
from bench.table import Table
from squib.errors import SquibError
from squib.host.appliances import CLOCK, find_appliance
from squib.model.image import INITRD, ROOTFS, VMLINUX
from squib.model.progress import silent
from squib.model.tree import File, RootfsTree
from squib.model.units import MIB
from squib.wiring import house

__all__ = ["PROGRAMS", "charts", "measure", "tables"]

PROGRAMS = {"e2fsprogs": ["mke2fs", "-V"]}

_SQUIB = (sys.executable, "-m", "squib")
_IMAGE = "clock.tar"
_FILES = (ROOTFS, INITRD, VMLINUX, _IMAGE)
_COLD, _WARM = "cold", "warm"


def measure(*, quick: bool) -> tuple[list[Measure], list[Promise]]:
    """Times, and sizes."""
    with tempfile.TemporaryDirectory(prefix="squib-bench-") as name:
        folder = Path(name)
        environ = quiet_home(folder)
        argv = (*_SQUIB, "build", CLOCK, "--quiet", "-o")

        def cold() -> Spent:
            for cached in ("bytecode", "artifacts"):
                shutil.rmtree(folder / "cache/squib" / cached, ignore_errors=True)
            shutil.rmtree(folder / "cold", ignore_errors=True)
            return spent((*argv, "cold"), environ=environ, folder=folder)

        def warm() -> Spent:
            return spent((*argv, "warm"), environ=environ, folder=folder)

        warm()
        # A warm one after each cold one: that has left nothing in the cache but what it made itself.
        times = alternate({_COLD: cold, _WARM: warm}, QUICK_ROUNDS if quick else ROUNDS, "build")
        spent((*_SQUIB, "image", CLOCK, "-o", _IMAGE, "--quiet"), environ=environ, folder=folder)
        sizes = {file: (folder / "warm" / file if file != _IMAGE else folder / file).stat().st_size for file in _FILES}
    measures = [
        Measure(what, kind, "", "ms", [round(getattr(one, field), 1) for one in values])
        for kind, values in times.items()
        for what, field in (("wall", "wall_ms"), ("cpu", "cpu_ms"))
    ]
    measures += [Measure("size", file, "", "MiB", [round(size / MIB, 3)]) for file, size in sizes.items()]
    measures += _part_measures()
    return measures, promises(measures)


def _part_measures() -> list[Measure]:
    try:
        tree = house().plan_build(find_appliance(CLOCK, Path("/")), silent).rootfs
    except SquibError as error:
        raise Problem(str(error)) from error
    return [Measure("part", part, ROOTFS, "MiB", [round(size / MIB, 3)]) for part, size in parts(tree).most_common()]


def parts(tree: RootfsTree) -> Counter[str]:
    """Bytes of files by what they are for."""
    sizes: Counter[str] = Counter()
    for entry in tree.entries:
        if isinstance(entry, File):
            sizes[_part(entry.path)] += len(entry.data)
    return sizes


def _part(path: str) -> str:
    if path == "/usr/bin/python3":
        return "the interpreter"
    if path.startswith("/lib"):
        return "the C library and its like"
    if path.startswith("/usr/lib/python"):
        return "Python's own modules"
    if path.startswith("/usr/lib/squib/squib/"):
        return "squib's guest code"
    return "installed packages" if path.startswith("/usr/lib/squib/") else "the rest"


def promises(measures: list[Measure]) -> list[Promise]:
    """How long a warm build takes, and how large the image is."""
    by = {(m.what, m.whom): m.values for m in measures}
    return [
        Promise("build.warm", "a warm build, wall time", "s", [round(ms / 1000, 3) for ms in by["wall", _WARM]], target=1),
        Promise("build.rootfs", "rootfs.ext4 of the clock", "MiB", by["size", ROOTFS], target=16, tolerance=0.05),
        Promise("build.image", "its container image, compressed", "MiB", by["size", _IMAGE], target=8, tolerance=0.05),
    ]


def tables(results: Results) -> list[Table]:
    """Times, files, parts."""
    times = [
        (kind, *(number(measure.median, "") for what in ("wall", "cpu") if (measure := results.find(what, kind))))
        for kind in (_COLD, _WARM)
    ]
    files = [(m.whom, number(m.median, "")) for m in results.measures if m.what == "size"]
    inside = [(m.whom, number(m.median, "")) for m in results.measures if m.what == "part"]
    return [
        Table("A build of the clock", ("", "wall ms", "CPU ms"), times, "Medians of the rounds."),
        Table("What it makes", ("", "MiB"), files),
        Table(f"What is in {ROOTFS}", ("", "MiB"), inside),
    ]


def charts(results: Results) -> dict[str, str]:
    """The image in parts."""
    found = [(m.whom, m.median) for m in results.measures if m.what == "part"]
    picture = stacks("What is in the clock's image", "rootfs.ext4, by what is for what.", [Stack("clock", found)], "MiB")
    return {"build-parts.svg": picture}
