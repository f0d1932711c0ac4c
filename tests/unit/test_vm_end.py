"""What ended a machine: guest, server and VMM are told apart by the guest's last word, or that it had none."""

from __future__ import annotations

import pytest

from squib.model.machine import EndedBy
from squib.vmm.base import VmEnd


@pytest.mark.parametrize(
    ("status", "reason", "by"),
    [
        (0, "stopped", EndedBy.STOP),
        (0, "finished", EndedBy.SERVER),
        (75, "killed", EndedBy.STOP),
        (64, "usage", EndedBy.SERVER),
        (65, "appliance", EndedBy.SERVER),
        (70, "crashed", EndedBy.SERVER),
        (71, "failed", EndedBy.GUEST),
        (1, "anything", EndedBy.GUEST),
    ],
)
def test_a_guest_with_a_last_word(status: int, reason: str, by: EndedBy) -> None:
    assert VmEnd(status, reason).by is by


def test_a_guest_without_one() -> None:
    assert VmEnd(None, "").by is EndedBy.VMM
    assert VmEnd(None, "kernel panic: x", EndedBy.GUEST).by is EndedBy.GUEST
