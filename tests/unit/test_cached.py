"""Which things of the cache go: what nobody needs, what is too old, and the oldest of too much."""

from __future__ import annotations

from pathlib import Path

import pytest

from squib.model.cached import BOUNDS, Blocks, CachedItem, CachedKind, freed, outdated, removable

ARTIFACT_S, ARTIFACT_BYTES = BOUNDS[CachedKind.ARTIFACT]
NOW = 1e9


def item(
    name: str, size: int = 10, *, kind: CachedKind = CachedKind.ARTIFACT, age: float = 0, needed_by: str = ""
) -> CachedItem:
    return CachedItem(kind, Path(name), (Blocks(1, hash(name), 1, size),), NOW - age, needed_by)


def linked(name: str, names: int) -> CachedItem:
    """An artifact of 10 bytes of its own, and a kernel of 100 that has `names` names in all."""
    return CachedItem(CachedKind.ARTIFACT, Path(name), (Blocks(1, hash(name), 1, 10), Blocks(1, 7, names, 100)), NOW)


def names(items: tuple[CachedItem, ...]) -> list[str]:
    return [str(one.path) for one in items]


def test_what_a_machine_needs_is_kept_and_said() -> None:
    found = removable([item("old"), item("used", needed_by="a machine")], everything=True)
    assert names(found.removed) == ["old"]
    assert names(found.kept) == ["used"]
    assert found.freed_bytes == 10


@pytest.mark.parametrize("everything", [False, True])
def test_what_takes_a_network_to_get_again_goes_only_with_all(everything: bool) -> None:
    items = [item(kind.value, kind=kind) for kind in CachedKind]
    gone = {one.kind for one in removable(items, everything=everything).removed}
    assert gone == (set(CachedKind) if everything else {CachedKind.ARTIFACT, CachedKind.NAMED_KERNEL, CachedKind.LEFTOVER})


def test_a_file_with_several_names_is_freed_with_its_last() -> None:
    assert freed([linked("a", 3), linked("b", 3)]) == 20
    assert freed([linked("a", 2), linked("b", 2)]) == 120
    assert freed([]) == 0


def test_what_is_old_goes_by_itself() -> None:
    items = [item("new"), item("old", age=ARTIFACT_S + 1), item("just", age=ARTIFACT_S - 1)]
    assert names(outdated(items, NOW)) == ["old"]


def test_of_too_much_the_longest_unused_goes() -> None:
    third = ARTIFACT_BYTES // 3
    items = [item(name, third, age=age) for name, age in (("1", 1), ("4", 4), ("2", 2), ("3", 3), ("5", 5))]
    assert sorted(names(outdated(items, NOW))) == ["4", "5"]


def test_shared_files_count_once() -> None:
    items = [CachedItem(CachedKind.ARTIFACT, Path(str(n)), (Blocks(1, 7, 9, ARTIFACT_BYTES),), NOW - n) for n in range(5)]
    assert outdated(items, NOW) == ()


def test_the_distributions_kernel_and_firecracker_stay_however_old() -> None:
    """No network is needed once they are here."""
    kinds = (CachedKind.KERNEL, CachedKind.FIRECRACKER, CachedKind.KVM_TRIALS)
    assert outdated([item(kind.value, 1 << 40, kind=kind, age=1e9) for kind in kinds], NOW) == ()
