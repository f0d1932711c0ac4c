"""`squib boot-report`: real boots, drawn; budgets that are kept and that are not; nothing left running."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from program import Squib

pytestmark = [pytest.mark.vm, pytest.mark.usefixtures("qemu"), pytest.mark.timeout(300)]

APP = (
    "from squib.guest.handler import Request, Response\n\ndef answer(request: Request) -> Response:\n    return Response(b'')\n"
)


def appliance(folder: Path, more: str) -> None:
    folder.mkdir()
    (folder / "shop.py").write_text(APP)
    (folder / "appliance.toml").write_text(f'name = "shop"\nserve = "shop:answer"\n{more}')


def test_json_svg_and_budgets_that_are_not_kept(squib: Squib) -> None:
    appliance(squib.home / "shop", "[budget]\nboot_ms = 1\nrootfs_mib = 1\nmemory_mib = 1\n[health]\n")
    done = squib.run("boot-report", "shop", "--json", "--svg", "deep/boot.svg")
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    assert (report["ok"], [one["kept"] for one in report["budgets"]]) == (False, [False] * 3)
    names = [phase["name"] for phase in report["phases"]]
    assert names == ["vmm", "kernel", "initrd", "python", "init", "imports", "listening", "answer"]
    assert report["phases"][0]["begin_ms"] == 0
    assert all(phase["end_ms"] >= phase["begin_ms"] for phase in report["phases"])
    assert report["phases"][-1]["end_ms"] == report["boot_ms"] > report["ready_ms"] > 0
    assert 20 < report["used_mib"] < report["memory_mib"]
    picture = ET.parse(squib.home / "deep/boot.svg").getroot()
    words = [one.text for one in picture.iter() if one.text]
    assert set(names) <= set(words)
    assert squib.processes() == []
    assert json.loads(squib.ok("ps", "--json")) == []


def test_ctrl_c_in_the_middle_leaves_nothing(squib: Squib) -> None:
    process = squib.start("boot-report", "clock", "--rounds", "50", "--quiet")
    deadline = time.monotonic() + 60
    while not any(b"qemu" in Path(f"/proc/{pid}/comm").read_bytes() for pid in squib.processes() if pid != process.pid):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert squib.processes() == []
    assert json.loads(squib.ok("ps", "--json")) == []


def test_a_guest_that_never_gets_ready_is_an_error(squib: Squib) -> None:
    appliance(squib.home / "shop", "[restart]\npolicy = 'never'\n")
    (squib.home / "shop/shop.py").write_text("raise RuntimeError('never')\n")
    done = squib.run("boot-report", "shop")
    assert done.returncode == 65, done.stderr
    assert "Traceback" not in done.stderr
    assert squib.processes() == []
