"""The door to other programs: what is said when one is missing, fails, hangs, or may not be run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from squib.errors import HostError, PermissionDeniedError, UnavailableError
from squib.host import command


def test_output_and_input() -> None:
    assert command.run(["cat"], input=b"\0bytes\xff", timeout=10) == b"\0bytes\xff"


def test_a_missing_program_names_its_package() -> None:
    with pytest.raises(UnavailableError, match="mke3fs is not installed") as caught:
        command.run(["mke3fs"], timeout=10, package="e3fsprogs")
    assert caught.value.hint == "sudo apt-get install e3fsprogs"


def test_a_failure_shows_status_tail_and_a_command_to_paste() -> None:
    script = "import sys; print('\\n'.join(f'line {n}' for n in range(40)), file=sys.stderr); sys.exit(3)"
    with pytest.raises(HostError, match=r"failed \(exit status 3\)") as caught:
        command.run([sys.executable, "-c", script], timeout=10)
    assert caught.value.detail.splitlines() == [f"line {n}" for n in range(25, 40)]
    assert "'import sys" in caught.value.hint


def test_a_program_ended_by_a_signal() -> None:
    with pytest.raises(HostError, match=r"failed \(signal 9\)"):
        command.run([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], timeout=10)


def test_a_program_that_hangs_is_ended() -> None:
    with pytest.raises(HostError, match=r"did not end within 0\.2 s"):
        command.run(["sleep", "60"], timeout=0.2)


def test_a_file_that_may_not_be_run(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/true\n")
    with pytest.raises(PermissionDeniedError, match="may not be run by this user"):
        command.run([program], timeout=10)


def test_admin_folders_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert command.find("ldconfig", package="libc-bin").name == "ldconfig"


def test_lines_come_while_the_program_runs(tmp_path: Path) -> None:
    seen: list[str] = []
    command.stream(["sh", "-c", "echo one; echo two >&2"], cwd=tmp_path, env={}, timeout=60, on_line=seen.append)
    assert seen == ["one", "two"]


def test_a_streamed_failure_shows_its_last_lines(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"sh failed \(exit status 3\)") as caught:
        command.stream(["sh", "-c", "echo one; exit 3"], cwd=tmp_path, env={}, timeout=60, on_line=lambda _: None)
    assert caught.value.detail == "one"


def test_a_streamed_program_that_takes_too_long_ends_with_all_it_started(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"did not end within 0\.2 s"):
        command.stream(["sh", "-c", "sleep 300 & wait"], cwd=tmp_path, env={}, timeout=0.2, on_line=lambda _: None)
