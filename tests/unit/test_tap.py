"""Tap devices by what /sys says of them, on a made-up /sys."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from squib.errors import HostError, MissingError, PermissionDeniedError, SquibError, TakenError, UsageError
from squib.host import tap
from support import missing, tool


def device(net: Path, name: str, **files: str) -> None:
    (net / name).mkdir()
    for file, text in files.items():
        (net / name / file).write_text(text + "\n")


def test_a_tap_that_is_up(tmp_path: Path) -> None:
    device(tmp_path, "tap0", tun_flags="0x1002", flags="0x1003")
    tap.check("tap0", tmp_path)
    device(tmp_path, "lo", flags="0x9")
    assert tap.names(tmp_path) == ("tap0",)


@pytest.mark.parametrize(
    ("name", "error", "message", "hint"),
    [
        ("tap1", MissingError, "there is no tap device tap1", 'sudo squib host setup --user "$USER" --tap tap1'),
        ("lo", UsageError, "lo is not a tap device", "ip -details link show lo"),
        ("tun0", UsageError, "tun0 is not a tap device", "ip -details"),
        ("down", HostError, "the tap device down is down", "sudo ip link set down up"),
        ("odd", UsageError, "odd is not a tap device", ""),
        *((name, UsageError, "is not the name of a network device", "at most 15") for name in ("", "a/b", "..", "a b", "x" * 16, "ä")),
    ],
)  # fmt: skip
def test_what_is_wrong(tmp_path: Path, name: str, error: type[SquibError], message: str, hint: str) -> None:
    device(tmp_path, "lo", flags="0x9")
    device(tmp_path, "tun0", tun_flags="0x1001", flags="0x1003")
    device(tmp_path, "down", tun_flags="0x1002", flags="0x1002")
    device(tmp_path, "odd", tun_flags="odd")
    with pytest.raises(error, match=message) as caught:
        tap.check(name, tmp_path)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("owner", "group", "capable", "error"),
    [
        ("-1", "-1", False, None),
        ("me", "-1", False, None),
        ("-1", "mine", False, None),
        ("4294967", "-1", False, PermissionDeniedError),
        ("me", "4294967", False, PermissionDeniedError),
        ("4294967", "4294967", True, None),
    ],
)
def test_whose_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: str, group: str, capable: bool, error: type[SquibError] | None
) -> None:
    owner, group = owner.replace("me", str(os.geteuid())), group.replace("mine", str(os.getegid()))
    device(tmp_path, "tap0", tun_flags="0x1002", flags="0x1003", owner=owner, group=group, carrier="0")
    monkeypatch.setattr(tap, "_may_configure", lambda: capable)
    with contextlib.nullcontext() if error is None else pytest.raises(error, match="the tap device tap0 is not this user's"):
        tap.check("tap0", tmp_path)


def test_one_that_is_in_use(tmp_path: Path) -> None:
    device(tmp_path, "tap0", tun_flags="0x1002", flags="0x1003", owner="-1", group="-1", carrier="1")
    with pytest.raises(TakenError, match="tap0 is in use") as caught:
        tap.check("tap0", tmp_path)
    assert "sudo squib host setup" in caught.value.hint
    assert "--tap tap1" in caught.value.hint


def test_how_one_more_is_made(tmp_path: Path) -> None:
    assert tap.setup_another(tmp_path) == 'sudo squib host setup --user "$USER" --tap tap1 --address 172.17.101.1/24'
    for name in ("tap1", "tap2"):
        device(tmp_path, name)
    assert "--tap tap3 --address 172.17.103.1/24" in tap.setup_another(tmp_path)


def test_this_machines_own() -> None:
    with pytest.raises(UsageError, match="lo is not a tap device"):
        tap.check("lo")


@pytest.mark.root
@pytest.mark.tool
def test_what_the_kernel_tells_of_a_real_one() -> None:
    """In a network namespace of its own: made, whose it is, and in use."""
    script = (
        "import fcntl, os, struct, subprocess\nfrom pathlib import Path\nfrom squib.errors import SquibError\nfrom squib.host import tap\n"
        "def look():\n    try:\n        tap.check('tap0', Path('/sys/class/net'))\n        print('fine')\n"
        "    except SquibError as error:\n        print(type(error).__name__)\n"
        "subprocess.run(['mount', '-t', 'sysfs', 'sysfs', '/sys'], check=True)\nlook()\n"
        "for line in ('tuntap add tap0 mode tap user 12345', 'link set tap0 up'):\n    subprocess.run(['ip', *line.split()], check=True)\nlook()\n"
        "tun = os.open('/dev/net/tun', os.O_RDWR)\nfcntl.ioctl(tun, 0x400454CA, struct.pack('16sH22x', b'tap0', 0x1002))\nlook()\nos.close(tun)\n"
        "os.setresuid(65534, 65534, 65534)\nlook()\n"
    )
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        missing("no /dev/net/tun")
    line = [tool("unshare"), "--net", "--mount", sys.executable, "-c", script]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["MissingError", "fine", "TakenError", "PermissionDeniedError"], done.stderr
