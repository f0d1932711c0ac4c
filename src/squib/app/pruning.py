"""Squib's cache kept small: what is in it, and the removing of what no machine needs; by itself, and by `squib prune`.

The rule: what a machine was started from, what a running squib has open, and what takes long to make (the tuned kernels) stay.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from squib.build import kernel_cache
from squib.errors import SquibError
from squib.host.files import abandoned, alone_in, storage_errors
from squib.host.held import is_locked
from squib.model.cached import Blocks, CachedItem, CachedKind, Pruning, outdated, removable

__all__ = ["ARTIFACTS", "Cleaning", "tidy_artifacts"]

ARTIFACTS = "artifacts"
_BYTE_CODE, _FIRECRACKER, _KVM_TRIALS = "bytecode", "firecracker", "kvm-trials.json"
_WORKPLACES = ("builds", "push")
_BLOCK = 512
"""What st_blocks counts in (stat(2))."""
_YOUNG_S = 60.0
"""A kernel's files are written before the record that names them."""
_LOOK_S = 24 * 3600.0
_LOOKED = ".pruned"
_KINDS = (("package", CachedKind.KERNEL), ("file-", CachedKind.NAMED_KERNEL))
"""Kernels by the beginning of their keys; those with another one are tuned kernels, which `squib kernel rm` removes."""


@dataclass(frozen=True, slots=True)
class Cleaning:
    """Of the folder `cache`. `needed` tells what machines need of it; `firecracker` is the folder of the one in use."""

    cache: Path
    needed: Callable[[], frozenset[Path]]
    firecracker: Path

    def prune(self, *, everything: bool, dry_run: bool) -> Pruning:
        """Removes what is not needed; with `everything` also what takes a network to get again.

        Raises StorageError and its like.
        """
        with self._alone():
            planned = removable(_judged(self._items(), self.needed), everything=everything)
            if not dry_run:
                for item in planned.removed:
                    _remove(item)
        return planned

    def tidy(self) -> None:
        """Once a day removes what is too old, or too much, but for artifacts. What cannot be removed stays."""
        if self._is_due():
            with contextlib.suppress(SquibError):
                rest = [item for item in self._items() if item.kind is not CachedKind.ARTIFACT]
                for item in _judged(outdated(rest, time.time()), self.needed):
                    if not item.needed_by:
                        _remove(item)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody puts an artifact there, or opens one, meanwhile."""
        if not (self.cache / ARTIFACTS).is_dir():
            yield
            return
        with alone_in(self.cache / ARTIFACTS):
            yield

    def _is_due(self) -> bool:
        stamp = self.cache / _LOOKED
        with contextlib.suppress(OSError):
            if time.time() - stamp.stat().st_mtime < _LOOK_S:
                return False
        with contextlib.suppress(OSError):
            stamp.touch(mode=0o600)
            return True
        return False

    def _items(self) -> list[CachedItem]:
        with storage_errors(self.cache):
            return [
                *_artifacts(self.cache / ARTIFACTS),
                *self._kernels(),
                *(_item(CachedKind.BYTE_CODE, path) for path in _listed(self.cache / _BYTE_CODE)),
                *(
                    _item(CachedKind.FIRECRACKER if path == self.firecracker else CachedKind.LEFTOVER, path)
                    for path in _listed(self.cache / _FIRECRACKER)
                ),
                *(_item(CachedKind.KVM_TRIALS, path) for path in (self.cache / _KVM_TRIALS,) if path.is_file()),
                *(_item(CachedKind.LEFTOVER, path) for path in self._abandoned()),
            ]

    def _kernels(self) -> Iterator[CachedItem]:
        owners: dict[Path, set[CachedKind | None]] = {}
        for key, files in kernel_cache.named().items():
            kind = next((kind for begin, kind in _KINDS if key.startswith(begin)), None)
            for path in files:
                owners.setdefault(path, set()).add(kind)
        for path in _listed(self.cache / "kernels"):
            kinds = owners.get(path, set())
            item = _item(_kernel_kind(kinds), path)
            if None not in kinds and (kinds or time.time() - item.used_s > _YOUNG_S):
                yield item

    def _abandoned(self) -> Iterator[Path]:
        for folder in (self.cache, *(self.cache / name for name in (ARTIFACTS, "kernels", _FIRECRACKER, *_WORKPLACES))):
            yield from abandoned(folder)


def tidy_artifacts(folder: Path, needed: Callable[[], frozenset[Path]]) -> None:
    """Removes the artifacts in `folder` that are too old, or too many. What cannot be removed stays."""
    with contextlib.suppress(SquibError):
        if outdated(_artifacts(folder), time.time()):
            with alone_in(folder):
                for item in _judged(outdated(_artifacts(folder), time.time()), needed):
                    if not item.needed_by:
                        _remove(item)


def _artifacts(folder: Path) -> list[CachedItem]:
    return [_item(CachedKind.ARTIFACT, path) for path in _listed(folder)]


def _judged(items: Sequence[CachedItem], needed: Callable[[], frozenset[Path]]) -> list[CachedItem]:
    """`items` with who needs them; where there are none, nobody is asked."""
    paths = needed() if items else frozenset[Path]()
    return [replace(item, needed_by=_needed_by(item, paths)) for item in items]


def _kernel_kind(owners: set[CachedKind | None]) -> CachedKind:
    return next((kind for _, kind in _KINDS if kind in owners), CachedKind.LEFTOVER)


def _listed(folder: Path) -> list[Path]:
    """What is in a folder, without what is still being made there; nothing where it is not there."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        return []


def _item(kind: CachedKind, path: Path) -> CachedItem:
    statuses = [_status(path)]
    if path.is_dir() and not path.is_symlink():
        statuses += [_status(below) for below in path.rglob("*")]
    found = [one for one in statuses if one is not None]
    files = tuple(
        Blocks(one.st_dev, one.st_ino, one.st_nlink, one.st_blocks * _BLOCK) for one in found if not stat.S_ISDIR(one.st_mode)
    )
    own = statuses[0]
    return CachedItem(kind, path, files, 0.0 if own is None else _used_s(kind, own))


def _used_s(kind: CachedKind, status: os.stat_result) -> float:
    # An artifact's folder is touched by each use (app.building). Other files are read, which their times of access tell.
    return status.st_mtime if kind is CachedKind.ARTIFACT else max(status.st_mtime, status.st_atime)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:  # another squib was quicker
        return None


def _needed_by(item: CachedItem, needed: frozenset[Path]) -> str:
    if item.path.resolve() in needed:
        return "a machine"
    return "a squib that runs" if item.kind is CachedKind.ARTIFACT and is_locked(item.path) else ""


def _remove(item: CachedItem) -> None:
    with storage_errors(item.path), contextlib.suppress(FileNotFoundError):
        if item.path.is_dir() and not item.path.is_symlink():
            shutil.rmtree(item.path)
        else:
            item.path.unlink()
