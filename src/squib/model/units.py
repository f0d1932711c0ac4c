"""Sizes and durations as people write them: `128M`, `1G`, `64MiB`; `500ms`, `10s`, `2m`."""

from __future__ import annotations

import re

from squib.errors import UsageError

__all__ = ["KIB", "MAX_MEM_SIZE_MIB", "MAX_VCPU_COUNT", "MIB", "format_bytes", "parse_duration_ms", "parse_mem_size_mib"]

KIB = 1024
MIB = 1024 * KIB

MAX_VCPU_COUNT = 32
"""As Firecracker has it (its MAX_SUPPORTED_VCPUS); one limit for every VMM."""

MAX_MEM_SIZE_MIB = 1024 * 1024
"""1 TiB: what no machine has is a slip of the finger."""

_SIZE = re.compile(r"(?P<number>[1-9][0-9]{0,8})(?P<unit>M|MB|MiB|G|GB|GiB)", re.IGNORECASE)
_DURATION = re.compile(r"(?P<number>0|[1-9][0-9]{0,8})(?P<unit>ms|s|m)")
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000}


def parse_mem_size_mib(text: str) -> int:
    """Whole mebibytes in `text`; M and MB mean MiB, as in every VMM. Raises UsageError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a memory size", hint="write a whole number and a unit, for example 128M or 1G")
    number = int(match["number"])
    size = number * 1024 if match["unit"].upper().startswith("G") else number
    if size > MAX_MEM_SIZE_MIB:
        raise UsageError(f"{text!r} is more memory than a machine can have", hint=f"at most {MAX_MEM_SIZE_MIB // 1024}G")
    return size


def parse_duration_ms(text: str) -> int:
    """Milliseconds in `text`. Raises UsageError."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{text!r} is not a duration", hint="write a whole number and a unit (ms, s, m), for example 500ms or 10s"
        )
    return int(match["number"]) * _UNIT_MS[match["unit"]]


def format_bytes(size: int) -> str:
    """`size` bytes for people: `14.2 MiB`, `3.1 KiB`, `40 B`."""
    if size >= MIB:
        return f"{size / MIB:.1f} MiB"
    if size >= KIB:
        return f"{size / KIB:.1f} KiB"
    return f"{size} B"
