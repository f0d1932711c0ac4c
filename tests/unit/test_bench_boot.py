"""bench/boot: marks are read from both guests' consoles, and what is booted holds what it must. (Times are no tests.)"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench.boot import counted, images, shown
from bench.machine import Machine
from bench.results import Measure, Results
from squib.build.kernels import Kernel
from squib.formats import cpio
from squib.model.image import FileRecord, KernelRecord

KERNEL = Kernel(Path("/vmlinux"), FileRecord("vmlinux", 1, ""), KernelRecord("6.1", "", 64), (("virtio", b"ko"),), ())
FLOOR = (
    b"[    0.730157] Run /init as init process\r\n[    0.731000]   with arguments:\r\n"
    b"[    0.773420] squib-floor: begin\r\n[    1.788609] squib-floor: listening\r\n"
)
SQUIB = (
    b"squib.ready abi=3 uptime_ms=9 listen=tcp:0.0.0.0:80\r\n\r\nsquib.marks abi=3 at_us=user:797603,python:871199,init:912210,"
    b"mounted:912916,network:919111,listening:919370,server:928429,imported:961112,loop:962534,ready:962977 available_kib=1\r\n"
)


def test_marks_of_both() -> None:
    floor, squib = counted.floor_marks(FLOOR), counted.squib_marks(SQUIB)
    assert floor == {"user": 730.157, "begin": 773.42, "listening": 1788.609}
    assert {name: squib[name] for name in floor} == {"user": 797.603, "begin": 912.916, "listening": 962.977}
    for cut in range(len(SQUIB) - 1):
        assert counted.squib_marks(SQUIB[:cut]) == {}
    for cut in range(len(FLOOR) - 2):
        assert counted.floor_marks(FLOOR[:cut]) == {}


def test_an_initramfs_is_a_whole_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_busybox", lambda: b"\x7fELF")
    tree = cpio.unpack(images.initramfs(images.floor("one", "two"), KERNEL))
    paths = {entry.path for entry in tree.entries}
    assert {"/init", "/sbin/init", "/bin/busybox", "/bin/httpd", "/modules/virtio.ko", "/dev/console", "/proc"} <= paths
    script = next(entry.data for entry in tree.entries if entry.path == "/sbin/init").decode()  # type: ignore[union-attr]
    assert script.index("one") < script.index("httpd -p 80") < script.index("two")


def test_promises_tables_and_charts_of_a_result() -> None:
    case = "counted, distribution's kernel"
    measures = [
        Measure(f"at {name}", who, case, "ms", [value, value])
        for who, found in (("squib", counted.squib_marks(SQUIB)), ("floor", counted.floor_marks(FLOOR)))
        for name, value in found.items()
    ]
    measures += [
        Measure(what, who, "watched, distribution's kernel", "ms", [9.0])
        for what in ("ready", "cpu", "answer")
        for who in ("squib", "floor")
    ]
    promises = shown.promises(measures)
    assert [(one.name, one.values) for one in promises] == [
        ("boot.listening-distribution", [0.538, 0.538]),
        ("boot.cpu-distribution", [1.0]),
        ("boot.answer-distribution", [1.0]),
    ]
    found = Results("boot", "2026-11-24 15:00 UTC", False, Machine("", 2, 1, "", "", "", "", {}), measures, promises)
    phases, times = shown.tables(found)
    assert phases.rows[-1] == ("in all", "963", "1,789")
    assert [row[2:] for row in times.rows] == [("9.00 (9.00)",) * 3] * 2
    for picture in shown.charts(found).values():
        ET.fromstring(picture)
