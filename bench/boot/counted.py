"""A boot whose clock counts instructions: QEMU's microvm with `-icount`, so that what the host does otherwise changes nothing.

Two nanoseconds of the guest's clock are one instruction (`shift=1`), and idle time is skipped (`sleep=off`). From an initramfs
nothing waits for the host, and every run gives the same number within a tenth of a millisecond. (A disk waits for the host's
i/o, and the clock goes on meanwhile, by seconds.)
"""

from __future__ import annotations

import os
import re
import select
import time
from pathlib import Path

from bench.problem import Problem
from bench.process import piped

MEMORY_MIB = 192
_DEADLINE_S = 120.0
_TELL = 'echo "squib-floor: {}" > /dev/kmsg'
BEGIN, READY = _TELL.format("begin"), f"{_TELL.format('listening')}; dmesg > /dev/console"
"""What the floor's script says, for `_floor`: the kernel stamps it, and the whole log is printed in the end."""

_ARGUMENTS = (
    "console=ttyS0 quiet reboot=t panic=-1 cryptomgr.notests squib-boot.marks "
    "ip=10.0.2.15::10.0.2.2:255.255.255.0:bench:eth0:off"
)

_MARKS = re.compile(rb"^squib\.marks abi=\d+ at_us=(\S+) available_kib=\d+\r?\n", re.MULTILINE)
_STAMPED = re.compile(rb"^\[ *(\d+)\.(\d{6})\] (.*?)\r?\n", re.MULTILINE)


def boot(vmlinux: Path, initramfs: Path) -> dict[str, float]:
    """When each mark was reached, in milliseconds of the guest's clock: at least `user` and `listening`. Raises Problem."""
    with piped(argv(vmlinux, initramfs)) as console:
        output = b""
        deadline = time.monotonic() + _DEADLINE_S
        while time.monotonic() < deadline:
            if select.select([console], [], [], 1.0)[0]:
                data = os.read(console, 1 << 16)
                if not data:
                    break
                output += data
                found = squib_marks(output) or floor_marks(output)
                if found:
                    return found
    tail = output.decode("utf-8", "replace")[-2000:]
    raise Problem(f"a counted boot told no marks within {_DEADLINE_S:.0f} s; its console ends with:\n{tail}")


def argv(vmlinux: Path, initramfs: Path) -> list[str]:
    """QEMU's command line."""
    return [
        *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"),
        *("-machine", "microvm", "-accel", "tcg", "-icount", "shift=1,sleep=off", "-cpu", "max", "-m", f"{MEMORY_MIB}M"),
        *("-kernel", str(vmlinux), "-initrd", str(initramfs), "-append", _ARGUMENTS, "-serial", "stdio"),
        *("-netdev", "user,id=net,ipv6=off,restrict=on", "-device", "virtio-net-device,netdev=net"),
    ]  # fmt: skip


def squib_marks(console: bytes) -> dict[str, float]:
    """What PID 1 told (docs/guest-abi.md, "Marks"), with `begin` and `listening` by the names that both have; or nothing."""
    match = _MARKS.search(console)
    if match is None:
        return {}
    at_ms = {name: int(us) / 1000 for name, us in (part.split(":") for part in match[1].decode().split(","))}
    return at_ms | {"begin": at_ms["mounted"], "opened": at_ms["listening"], "listening": at_ms["ready"]}


def floor_marks(console: bytes) -> dict[str, float]:
    """The same from the kernel's log, which the floor prints; or nothing, while it is not all there."""
    found: dict[str, float] = {}
    for seconds, micros, text in _STAMPED.findall(console):
        name = _meaning(text)
        if name:
            found.setdefault(name, int(seconds) * 1000 + int(micros) / 1000)
    return found if {"user", "begin", "listening"} <= found.keys() else {}


def _meaning(text: bytes) -> str:
    if text.startswith(b"Run ") and text.endswith(b" as init process"):
        return "user"
    return text.removeprefix(b"squib-floor: ").decode() if text.startswith(b"squib-floor: ") else ""
