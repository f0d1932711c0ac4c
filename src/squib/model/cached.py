"""What lies in squib's cache, as values, and which of it goes: pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from squib.model.units import MIB

__all__ = ["BOUNDS", "Blocks", "CachedItem", "CachedKind", "Pruning", "freed", "outdated", "removable"]

_DAY_S = 24 * 3600.0


class CachedKind(StrEnum):
    """What it is. All of it can be made again; a kernel of the distribution and Firecracker take a network for that."""

    ARTIFACT = "artifact"
    BYTE_CODE = "byte code"
    FIRECRACKER = "firecracker"
    KERNEL = "kernel"
    NAMED_KERNEL = "named kernel"
    """Of a file that somebody named by `--kernel PATH`."""
    KVM_TRIALS = "trials of KVM"
    LEFTOVER = "leftover"
    """Of a squib that was killed, or of an earlier version."""


BOUNDS = {
    CachedKind.ARTIFACT: (7 * _DAY_S, 1024 * MIB),
    CachedKind.BYTE_CODE: (30 * _DAY_S, 256 * MIB),
    CachedKind.NAMED_KERNEL: (30 * _DAY_S, 512 * MIB),
    CachedKind.LEFTOVER: (_DAY_S, 256 * MIB),
}
"""What of a kind stays by itself: used within so many seconds, and the last used of more than so many bytes; of others all."""

_BY_DEFAULT = frozenset({CachedKind.ARTIFACT, CachedKind.NAMED_KERNEL, CachedKind.LEFTOVER})


@dataclass(frozen=True, slots=True)
class Blocks:
    """What a file takes on its disk, in bytes; a file with several `names` is known by its inode."""

    device: int
    inode: int
    names: int
    size: int

    @property
    def file(self) -> tuple[int, int]:
        """Which file it is, by whatever name."""
        return (self.device, self.inode)


@dataclass(frozen=True, slots=True)
class CachedItem:
    """One thing that goes whole; `used_s` is when it was used last (Unix time), `needed_by` who needs it, or empty."""

    kind: CachedKind
    path: Path
    files: tuple[Blocks, ...]
    used_s: float
    needed_by: str = ""

    @property
    def size(self) -> int:
        """What it takes on the disk, in bytes, also where other things share it."""
        return sum(one.size for one in self.files)


@dataclass(frozen=True, slots=True)
class Pruning:
    """`removed` went, or would; `kept` would have gone but is needed; `freed_bytes` are free on the disk then."""

    removed: tuple[CachedItem, ...]
    kept: tuple[CachedItem, ...]
    freed_bytes: int


def removable(items: Iterable[CachedItem], *, everything: bool) -> Pruning:
    """What `squib prune` removes: what can be made again without a network and soon; with `everything` all of it."""
    wanted = [item for item in items if everything or item.kind in _BY_DEFAULT]
    removed = tuple(item for item in wanted if not item.needed_by)
    return Pruning(removed, tuple(item for item in wanted if item.needed_by), freed(removed))


def outdated(items: Iterable[CachedItem], now_s: float) -> tuple[CachedItem, ...]:
    """What goes by itself, whether or not somebody needs it, by BOUNDS."""
    gone: list[CachedItem] = []
    seen: set[tuple[int, int]] = set()
    total: Counter[CachedKind] = Counter()
    for item in sorted(items, key=lambda item: -item.used_s):
        if item.kind not in BOUNDS:
            continue
        longest_s, most = BOUNDS[item.kind]
        total[item.kind] += sum(one.size for one in item.files if one.file not in seen)
        seen |= {one.file for one in item.files}
        if now_s - item.used_s > longest_s or total[item.kind] > most:
            gone.append(item)
    return tuple(gone)


def freed(items: Iterable[CachedItem]) -> int:
    """What is free on the disk once `items` are gone: of a file with several names, only where all of these go."""
    files = [one for item in items for one in item.files]
    names = Counter(one.file for one in files)
    return sum(one.size for one in {one.file: one for one in files}.values() if names[one.file] >= one.names)
