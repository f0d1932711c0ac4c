"""`squib doctor` as people and programs run it: here, as a plain user, without programs, without a home."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from program import Squib
from squib.host import survey


@pytest.fixture
def alone(tmp_path: Path) -> Squib:
    """Squib that needs no kernel."""
    return Squib((sys.executable, "-m", "squib"), tmp_path)


def report(squib: Squib, *options: str) -> dict[str, Any]:
    done = squib.run("doctor", "--json", *options)
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    assert found.keys() == {"ok", "checks"}
    assert found["ok"] == (done.returncode == 0)
    assert done.returncode in {0, 69}
    for check in found["checks"]:
        assert check.keys() == {"name", "state", "found", "remedy"}
        assert check["state"] in {"ok", "warning", "missing"}
        assert check["state"] != "ok" or check["remedy"] is None
    assert found["ok"] == all(check["state"] != "missing" for check in found["checks"])
    return {check["name"]: check for check in found["checks"]}


@pytest.mark.usefixtures("qemu")
def test_all_is_here(squib: Squib) -> None:
    found = report(squib)
    assert [name for name, check in found.items() if check["state"] == "missing"] == []
    assert found["guest kernel"]["found"].endswith(")")
    shown = squib.ok("doctor")
    assert shown.splitlines()[0].split() == ["CHECK", "STATE", "FOUND"]
    assert shown.endswith("\nEverything that squib needs is here.\n")


@pytest.mark.usefixtures("qemu")
def test_the_answer_about_kvm_is_kept_until_it_is_asked_anew(squib: Squib) -> None:
    kept = squib.home / "cache/squib/kvm-trials.json"
    first = report(squib)["kvm"]
    if not kept.exists():
        assert not os.access("/dev/kvm", os.R_OK | os.W_OK)
        return
    mark = kept.stat().st_mtime_ns
    again = report(squib)["kvm"]
    assert kept.stat().st_mtime_ns == mark
    assert first["state"] == again["state"]
    if again["state"] == "warning":
        assert "squib doctor --retry" in again["remedy"]
        assert "as tried before" in again["found"]
    anew = report(squib, "--retry")["kvm"]
    assert kept.stat().st_mtime_ns != mark
    assert "as tried before" not in anew["found"]


def test_without_programs(alone: Squib, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    squib = Squib(alone.command, alone.home, extra={"PATH": str(tmp_path / "empty")})
    found = report(squib)
    assert found["qemu-system-x86_64"]["state"] == "missing"
    assert found["apt-get"]["state"] == "missing"
    assert found["kvm"]["state"] != "missing"
    done = squib.run("doctor")
    assert done.returncode == 69
    assert "\nMissing:\n" in done.stdout
    assert re.search(r"^squib needs what is missing here: .*qemu-system-x86_64", done.stdout, re.MULTILINE)


def test_missing_packages_are_told_and_not_met(alone: Squib) -> None:
    names = [module for module in survey.PACKAGES.values() if module != "click"]
    script = (
        f"import sys\nsys.modules.update(dict.fromkeys({names!r}))\nfrom squib.cli.main import cli\ncli(['doctor', '--json'])"
    )
    done = Squib((sys.executable, "-c", script), alone.home).run()
    assert (done.returncode, done.stderr) == (69, "")
    found = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert found["python packages"]["found"].startswith("not to be imported: httptools, lz4, msgspec")
    assert "pip install httptools lz4 msgspec" in found["python packages"]["remedy"]
    assert found["system"]["state"] == "ok"


@pytest.mark.root
def test_as_a_plain_user(plain_user: Squib) -> None:
    found = report(plain_user)
    assert found["cache"]["state"] == "ok"
    assert found["state"]["state"] == "ok"
    for name in ("kvm", "tun"):
        if "may not open" in found[name]["found"]:
            assert found[name]["remedy"].startswith("sudo setfacl -m u:nobody:rw /dev/")


@pytest.mark.root
def test_a_user_without_name_and_home(readable_tree: Path, plain_user: Squib) -> None:
    stranger = Squib(
        ("/usr/bin/python3", "-m", "squib"),
        plain_user.home,
        extra={"PYTHONPATH": str(readable_tree), "PYTHONDONTWRITEBYTECODE": "1", "HOME": "", "XDG_CACHE_HOME": "", "XDG_STATE_HOME": ""},
        prefix=(plain_user.prefix[0], "--reuid=3999999", "--regid=3999999", "--clear-groups", "--"),
        cwd=Path("/"),
    )  # fmt: skip
    found = report(stranger)
    assert found["cache"]["state"] == "missing"
    unset = Squib(("/usr/bin/env", "-u", "HOME", "-u", "XDG_CACHE_HOME", "-u", "XDG_STATE_HOME", *stranger.command), stranger.home, extra=stranger.extra, prefix=stranger.prefix, cwd=Path("/"))  # fmt: skip
    found = report(unset)
    assert found["cache"]["found"] == "could not be looked at: this user has no home folder"
    assert "XDG_CACHE_HOME" in found["cache"]["remedy"]


@pytest.mark.root
def test_folders_that_may_not_be_written(plain_user: Squib) -> None:
    state = plain_user.home / "state"
    state.mkdir()
    state.chmod(0o755)
    row = report(plain_user)["state"]
    assert row["state"] == "missing"
    assert row["remedy"] == f"sudo install -d -m 700 -o nobody {state / 'squib'}"


@pytest.mark.parametrize("arguments", [("x",), ("--jsn",), ("--retry=1",)])
def test_bad_input(alone: Squib, arguments: tuple[str, ...]) -> None:
    done = alone.run("doctor", *arguments)
    assert (done.returncode, done.stdout) == (64, "")
