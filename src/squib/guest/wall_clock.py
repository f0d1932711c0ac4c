"""The machine's clock against its RTC, which the VMM keeps right.

An emulated processor that is held up while the kernel measures its speed has a clock that runs too fast, or is ahead for good.
A machine without an RTC (Firecracker) has the clock of KVM, which is the host's own.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time

PATH = "/dev/rtc0"
FIRST_MS, THEN_MS = 10_000, 60_000
"""When it is compared again: first soon, as the kernel corrects its measure within seconds; and from then on."""
TOLERANCE_MS = 2_000
"""How far the clock may be from the middle of the RTC's second: the kernel took it from there when it started, to a second."""
_NOT_BEFORE = 2026
_RTC_RD_TIME = 0x80247009  # <linux/rtc.h>
_RTC_TIME = struct.Struct("=9i")  # struct rtc_time: as struct tm has it


def mend(path: str = PATH) -> int | None:
    """Compares, and sets the clock where it is wrong: by how many ms it was ahead of the RTC; None where it was right.

    Raises OSError where the clock cannot be set; no RTC, or one that cannot be read, is no error.
    """
    rtc_s = read_rtc(path)
    if rtc_s is None:
        return None
    ahead_ms = time.clock_gettime_ns(time.CLOCK_REALTIME) // 1_000_000 - (rtc_s * 1000 + 500)
    if abs(ahead_ms) <= TOLERANCE_MS:
        return None
    time.clock_settime_ns(time.CLOCK_REALTIME, (rtc_s * 1000 + 500) * 1_000_000)
    return ahead_ms


def read_rtc(path: str) -> int | None:
    """The second that the RTC tells, of Unix time; None where it tells none, or a time that is long past: nobody keeps it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        second, minute, hour, day, month, year, *_ = _RTC_TIME.unpack(fcntl.ioctl(fd, _RTC_RD_TIME, bytes(_RTC_TIME.size)))
    except OSError:
        return None
    finally:
        os.close(fd)
    if year + 1900 < _NOT_BEFORE:
        return None
    return ((days_since_1970(year + 1900, month + 1, day) * 24 + int(hour)) * 60 + int(minute)) * 60 + int(second)


def days_since_1970(year: int, month: int, day: int) -> int:
    """Days of the Gregorian calendar (`month`, `day` from 1): March begins the year, so that a leap day ends it."""
    if month < 3:
        year, month = year - 1, month + 12
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * (month - 3) + 2) // 5 + day - 719_469
