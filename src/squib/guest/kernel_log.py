"""What the kernel itself knows of the start: when it ran the first program and mounted the disk, and the memory that is left.

The moments are from its log, /dev/kmsg: `quiet` keeps the lines off the console, they are in the log all the same. A record is
`LEVEL,SEQUENCE,MICROSECONDS,FLAGS;TEXT` (Documentation/ABI/testing/dev-kmsg). Only a boot that asks for marks imports this.
"""

from __future__ import annotations

import os

from squib.guest.marks import now_ns

PATH = "/dev/kmsg"
_RECORD_BYTES = 8192
_OURS = b"squib: reading the clock of this log"


def moments(path: str = PATH) -> list[tuple[str, int]]:
    """`user` (the kernel runs its first program) and `root` (the ext4 disk is mounted), in nanoseconds of the uptime.

    A moment that the log does not tell is left out; no log, no moments. printk's clock is not quite that of the uptime: a
    line of our own, written between two looks at the uptime, tells how far they are apart.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        before_ns = now_ns()
        os.write(fd, _OURS + b"\n")
        ours_ns = (before_ns + now_ns()) // 2
        return found(records(fd), ours_ns)
    except OSError:
        return []
    finally:
        os.close(fd)


def available_kib(path: str = "/proc/meminfo") -> int:
    """MemAvailable (Documentation/filesystems/proc.rst): what could still be used without swapping; 0 where it is not told."""
    with open(path, "rb") as file:
        for line in file:
            name, _, value = line.partition(b":")
            if name == b"MemAvailable":
                return int(value.split()[0])
    return 0


def records(fd: int) -> list[bytes]:
    """All that the log holds."""
    read: list[bytes] = []
    while True:
        try:
            read.append(os.read(fd, _RECORD_BYTES))
        except BlockingIOError:
            return read
        except BrokenPipeError:  # EPIPE: the oldest ones were overwritten meanwhile; the next read goes on behind them
            continue


def found(log: list[bytes], ours_ns: int) -> list[tuple[str, int]]:
    """The moments in `log`, whose record of ours was written at `ours_ns`."""
    at_us: dict[str, int] = {}
    for record in log:
        head, _, text = record.partition(b";")
        fields = head.split(b",")
        if len(fields) > 2 and fields[2].isdigit():
            name = _meaning(text.partition(b"\n")[0])
            if name == "ours" or (name and name not in at_us):
                at_us[name] = int(fields[2])
    ours_us = at_us.pop("ours", None)
    if ours_us is None:
        return []
    return [(name, ours_ns - (ours_us - us) * 1000) for name, us in at_us.items()]


def _meaning(text: bytes) -> str:
    if text.startswith(b"Run ") and text.endswith(b" as init process"):  # init/main.c, run_init_process
        return "user"
    if text.startswith(b"EXT4-fs (") and b"): mounted filesystem" in text:  # fs/ext4/super.c, ext4_fill_super
        return "root"
    return "ours" if text == _OURS else ""
