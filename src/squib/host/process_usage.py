"""What a process uses of its host, from /proc: memory, processor time, and for how long it has been there.

All times are the kernel's own (proc(5): clock ticks since boot), so they stay right when the host's clock is set.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from squib.host.process import ProcessIdentity, alive, stat_fields

__all__ = ["ProcessUsage", "age_s", "usage"]

_KIB_PER_MIB = 1024


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """`rss_mib`: resident memory; `pss_mib`: the same with shared pages divided among who shares them.

    None where the kernel does not tell. `cpu_s`: processor time of all threads; `age_s`: seconds since its start.
    """

    rss_mib: float
    pss_mib: float | None
    cpu_s: float
    age_s: float

    @property
    def cpu_percent(self) -> float:
        """Of one processor, on average since the process started."""
        return 100 * self.cpu_s / self.age_s if self.age_s > 0 else 0.0


def age_s(identity: ProcessIdentity) -> float:
    """Seconds since that process started, suspended time included; only right within its boot."""
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - identity.start_time / os.sysconf("SC_CLK_TCK"))


def usage(identity: ProcessIdentity) -> ProcessUsage | None:
    """What exactly that process uses now; None where it has ended."""
    try:
        fields = stat_fields(identity.pid)
        rss_mib = int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / _KIB_PER_MIB**2
        cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return None
    pss_mib = _pss_mib(Path(f"/proc/{identity.pid}/smaps_rollup"))
    # Only now: what was read was that process's, or the pid was another's by then.
    return ProcessUsage(rss_mib, pss_mib, cpu_s, age_s(identity)) if alive(identity) else None


def _pss_mib(rollup: Path) -> float | None:
    try:
        for line in rollup.read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / _KIB_PER_MIB
    except (OSError, ValueError, IndexError):
        return None
    return None
