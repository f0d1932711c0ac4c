"""What this process holds: a test that looks before and after sees what leaks."""

from __future__ import annotations

import gc
import os
from pathlib import Path


def descriptors() -> list[str]:
    """What this process has open, but the folder that is read for this."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.append(os.readlink(entry))  # noqa: PTH115 - `socket:[1]` is no path
        except OSError:
            continue
    return sorted(found)


def resident_kib() -> int:
    gc.collect()
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0])
