"""The outer side of the lab: nothing but a whole success counts as one; what the lab host is made of and how it is booted."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from coverage import CoverageData

from lab import __main__ as main
from lab import coverage_report, files, host_image, init, layout, machine, stuck, verdict
from lab import host as hosts
from lab.host import Host, Watcher
from lab.layout import Request
from lab.machine import End, LabMachine
from squib.errors import MissingError
from support import PROJECT, tool, waited_for

LAB = LabMachine(
    Path("/k/vmlinux"), Path("/k/initrd"), Path("/o/root.ext4"), Path("/o/scratch.ext4"), Path("/o/pulse"), Path("/s/monitor")
)


def results(folder: Path, *, status: object = 0, tests: int = 3, failures: int = 0, errors: int = 0, skipped: int = 0) -> Path:
    (folder / layout.VERDICT).write_text(json.dumps({"status": status, "seconds": 12.5}))
    suite = f'<testsuite tests="{tests}" failures="{failures}" errors="{errors}" skipped="{skipped}"/>'
    (folder / layout.JUNIT).write_text(f"<testsuites>{suite}</testsuites>")
    return folder


def test_success(tmp_path: Path) -> None:
    assert verdict.judge(results(tmp_path)) == (0, "passed: 3 tests, 12 s")


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"status": 1, "failures": 2}, 1, "3 tests, 2 failures"),
        ({"status": 5, "tests": 0}, 5, "0 tests"),
        ({"skipped": 1}, 1, "nothing may skip"),
        ({"tests": 0}, 1, "contradict"),
        ({"errors": 1}, 1, "contradict"),
        ({"status": 124}, 124, "ended at their limit"),
        ({"status": None}, 1, "without a verdict"),
    ],
)
def test_all_else_is_a_failure(tmp_path: Path, change: dict[str, int], status: int, said: str) -> None:
    found, words = verdict.judge(results(tmp_path, **change))
    assert found == status
    assert said in words


def test_a_failure_is_a_verdict_too(tmp_path: Path) -> None:
    assert not verdict.given(tmp_path)
    assert verdict.given(results(tmp_path, status=1, failures=1))


@pytest.mark.parametrize("name", [layout.VERDICT, layout.JUNIT])
def test_so_is_a_file_that_is_not_there_or_cut_off(tmp_path: Path, name: str) -> None:
    path = results(tmp_path) / name
    path.write_bytes(path.read_bytes()[:-4])
    assert verdict.judge(tmp_path)[0] == 1
    path.unlink()
    assert verdict.judge(tmp_path)[0] == 1


def test_a_request_arrives_as_it_was_sent(tmp_path: Path) -> None:
    request = Request(("-k", 'a or "b"', "Ü"), 30.5, shell=True, coverage=True)
    request.write(tmp_path)
    assert Request.read(tmp_path) == request


def test_the_machine_has_what_kvm_needs_and_no_way_out() -> None:
    line = machine.argv(LAB, Path("/bin/qemu"), interactive=False)
    assert line[line.index("-cpu") + 1] == "max,+svm,+npt"
    assert "restrict=on" in line[line.index("-netdev") + 1]
    assert [part for part in line if "read-only=on" in part and "/o/root.ext4" in part]
    assert "mux=on" in " ".join(machine.argv(LAB, Path("/bin/qemu"), interactive=True))


def lab_in(folder: Path) -> LabMachine:
    return replace(LAB, pulse=folder / "pulse", monitor=folder / "monitor")


def boot(
    program: str, folder: Path, *, limit_s: float = 60.0, patience_s: float = 60.0, stop: threading.Event | None = None
) -> tuple[End, bytes]:
    """How it ended, and what was shown of its console."""
    shown = bytearray()
    line = (sys.executable, "-c", program)
    never = stop or threading.Event()
    end = machine.boot(
        line, folder / "console.log", lab_in(folder), limit_s=limit_s, show=shown.extend, stop=never, patience_s=patience_s
    )
    return end, bytes(shown)


def test_a_machine_that_does_not_end_is_ended(tmp_path: Path) -> None:
    end, shown = boot("import time; print('its last words', flush=True); time.sleep(600)", tmp_path, limit_s=1.0)
    assert (end, shown) == (End.LIMIT, b"its last words\n")
    assert (tmp_path / "console.log").read_bytes() == shown
    assert boot("print('at a test', end='')", tmp_path) == (End.BY_ITSELF, b"at a test\n"), "what was begun is seen, too"
    assert boot("", tmp_path) == (End.BY_ITSELF, b"")
    assert boot("raise SystemExit(3)", tmp_path) == (End.STATUS, b"")


def test_a_machine_is_stopped(tmp_path: Path) -> None:
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    assert boot("import time; time.sleep(600)", tmp_path, stop=stop)[0] is End.STOPPED


def test_a_machine_without_a_pulse_is_ended_and_asked_where_it_is(tmp_path: Path) -> None:
    program = f"import time; open({str(tmp_path / 'pulse')!r}, 'w').write('..'); time.sleep(600)"
    assert boot(program, tmp_path, patience_s=2.0)[0] is End.STUCK
    told = (tmp_path / stuck.NAME).read_text()
    assert "/stat" in told
    assert "QEMU's monitor did not answer" in told


def test_a_machine_with_a_pulse_lives_on(tmp_path: Path) -> None:
    program = f"import time\nwith open({str(tmp_path / 'pulse')!r}, 'wb', 0) as port:\n for _ in range(20): port.write(b'.'); time.sleep(0.2)"
    assert boot(program, tmp_path, patience_s=3.0)[0] is End.BY_ITSELF


def test_a_real_qemu_tells_its_registers(tmp_path: Path) -> None:
    qemu = tool("qemu-system-x86_64")
    lab = lab_in(tmp_path)
    line = (qemu, "-S", "-nodefaults", "-display", "none", "-accel", "tcg", "-qmp", f"unix:{lab.monitor},server=on,wait=off")
    limits = {"limit_s": 60.0, "patience_s": 2.0}
    end = machine.boot(line, tmp_path / "console.log", lab, **limits, show=lambda _: None, stop=threading.Event())
    assert end is End.STUCK
    told = (tmp_path / stuck.NAME).read_text()
    assert told.count("EIP=") >= 3
    assert stuck.places(tmp_path / stuck.NAME).count("EIP=") == told.count("EIP=")
    assert "did not answer" not in told


class Boots:
    """Stands in for QEMU: hosts end like that, and the last one gives `status`."""

    def __init__(self, deaths: list[End], status: int) -> None:
        self.deaths, self.status, self.number = deaths, status, 0

    def __call__(self, host: Host, _program: Path, _watcher: Watcher) -> End:
        self.number += 1
        (host.out / "console.log").write_text(f"boot {self.number}\n")
        if self.deaths:
            return self.deaths.pop(0)
        host.results.mkdir(exist_ok=True)
        results(host.results, status=self.status, failures=self.status)
        return End.BY_ITSELF


@pytest.mark.parametrize(
    ("deaths", "status", "boots", "ends_with"),
    [
        ([], 0, 1, 0),
        ([], 1, 1, 1),
        ([End.BY_ITSELF], 0, 2, 0),
        ([End.BY_ITSELF, End.STATUS], 0, 3, 0),
        ([End.BY_ITSELF], 1, 2, 1),
        ([End.BY_ITSELF, End.BY_ITSELF, End.BY_ITSELF], 0, 3, 1),
        ([End.LIMIT], 0, 1, 1),
        ([End.STOPPED], 0, 1, 1),
    ],
)
def test_a_host_that_dies_is_replaced_and_a_test_that_fails_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deaths: list[End], status: int, boots: int, ends_with: int
) -> None:
    qemu = Boots(list(deaths), status)
    monkeypatch.setattr(hosts, "_boot", qemu)
    host = Host(Request(), LAB, tmp_path / "one")
    said: list[str] = []
    assert hosts.run(host, Path("qemu"), Watcher(said.append, said.append, threading.Event()))[0] == ends_with  # type: ignore[arg-type]
    assert qemu.number == boots
    assert len(list(host.out.glob("death-*-console.log"))) == len(said) == boots - 1


@pytest.mark.parametrize(("statuses", "whole"), [((0, 0), 0), ((0, 1), 1), ((5, 0), 5)])
def test_the_whole_is_a_success_where_each_host_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], statuses: tuple[int, int], whole: int
) -> None:
    def run(host: Host, _program: Path, _watcher: Watcher) -> tuple[int, str]:
        host.results.mkdir(parents=True)
        results(host.results)
        status = statuses[list(main.SHARES).index(host.out.name)]
        return status, f"its status is {status}"

    monkeypatch.setattr(main, "OUT", tmp_path / "build/lab")
    monkeypatch.setattr(main, "PROJECT", tmp_path)
    monkeypatch.setattr(hosts, "run", run)
    monkeypatch.setattr(files, "build", lambda *_: files.Files(LAB.kernel, LAB.initrd, LAB.root))
    assert main._run({name: Request() for name in main.SHARES}) == whole
    assert f"networks: its status is {statuses[1]}; see build/lab/networks/" in capsys.readouterr().out
    assert (main.OUT / layout.JUNIT).read_text().count("<testsuite ") == 2


def test_each_file_of_tests_is_in_one_share() -> None:
    places = [place for share in main.SHARES.values() for place in share]
    assert sorted(set(places)) == sorted(places)
    found = {str(path.relative_to(PROJECT)) for path in (PROJECT / "tests/lab").glob("test_*.py")}
    marked = {path for path in (PROJECT / "tests").rglob("test_*.py") if re.search(r"mark\.kvm\b", path.read_text())}
    assert found | {str(path.relative_to(PROJECT)) for path in marked} == set(places)


def test_who_picks_tests_has_one_host() -> None:
    assert main.shares([], whole=True) == main.SHARES
    assert main.shares(["-k", "raw"], whole=False) == {
        main.PICKED: tuple(place for share in main.SHARES.values() for place in share)
    }
    assert main.shares(["tests/lab/test_drop.py", "-x"], whole=False) == {main.PICKED: ()}


def test_two_consoles_on_one_screen_do_not_mix_within_a_line() -> None:
    shown = bytearray()
    first, second = main.lines(b"1: ", shown.extend), main.lines(b"2: ", shown.extend)
    for take, data in ((first, b"a"), (second, b"x\ny"), (first, b"b\n\nc"), (second, b"\n"), (first, b"\n")):
        take(data)
    assert bytes(shown) == b"2: x\n1: ab\n1: \n2: y\n1: c\n"


def test_the_packages_are_squibs_own_and_pytests() -> None:
    names = {distribution.name for distribution in host_image.distributions(host_image.PACKAGES)}
    assert {"click", "coverage", "httptools", "msgspec", "pytest", "pluggy", "rich", "Pygments"} <= names
    assert not names & {"mypy", "ruff", "hypothesis"}


def test_pid_1_tells_how_the_tests_ended() -> None:
    # A process of its own: pid 1 reaps every child, and these tests have others.
    program = (
        "import subprocess, sys; from lab.init import _wait\n"
        "start = lambda code: subprocess.Popen([sys.executable, '-c', code]).pid\n"
        "print(_wait(start('raise SystemExit(3)'), 60), _wait(start('import os; os.abort()'), 60), _wait(start('import time; time.sleep(5)'), 0.2))"
    )
    environment = {**os.environ, "PYTHONPATH": f"{PROJECT}/tests", "PYTHONWARNINGS": "ignore"}
    with waited_for(
        subprocess.Popen([sys.executable, "-c", program], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    ) as child:
        out, _ = child.communicate(timeout=100)
    assert out.split() == [b"3", str(128 + signal.SIGABRT).encode(), b"None"]


def test_the_lines_that_ran_there_are_found_in_this_checkout(tmp_path: Path) -> None:
    """Two processes of the lab, whose data name the checkout as it is there."""
    for number, lines in enumerate(([1, 2], [3])):
        data = CoverageData(str(tmp_path / "data" / f".coverage.{number}"))
        (tmp_path / "data").mkdir(exist_ok=True)
        data.add_arcs({f"{layout.PROJECT}/src/squib/model/units.py": [(-1, line) for line in lines]})
        data.write()
    said = coverage_report.write([tmp_path / "data"], tmp_path)
    assert "% of squib's lines" in said
    assert "src/squib/model/units.py" in (tmp_path / "coverage.txt").read_text()
    assert (tmp_path / "coverage/index.html").is_file()
    (tmp_path / "none").mkdir()
    with pytest.raises(MissingError, match="left no coverage"):
        coverage_report.write([tmp_path / "none"], tmp_path)


def test_every_mount_has_its_place() -> None:
    inside = {"/dev/pts", "/dev/shm", "/sys/fs/cgroup"}  # made at run time, or by the kernel
    assert {where for _, where, _, _ in init.MOUNTS} - inside == set(host_image.MOUNT_POINTS)
