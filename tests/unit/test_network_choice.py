"""Which network `--network` and `--outbound` come to, for each VMM and for root and others; and what contradicts itself."""

from __future__ import annotations

import os

import pytest

from squib.app import networking, user_networks
from squib.app.networking import resolve
from squib.errors import UsageError
from squib.model.machine import VmmKind
from squib.model.run import RunSpec

QEMU, FIRECRACKER = VmmKind.QEMU, VmmKind.FIRECRACKER
TAP = ("tap0", "AA:FC:00:00:00:01")
NONE, HOST, USER = (False, False), (True, False), (False, True)
"""host_network, user_network."""


def as_user(monkeypatch: pytest.MonkeyPatch, uid: int, *, ready: bool) -> None:
    """`ready`: root's host is set up, and a plain user's machine can have a network in a namespace."""
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(networking, "_is_set_up", lambda: ready)
    monkeypatch.setattr(user_networks, "missing", lambda: "" if ready else "pasta is not there")


@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("ready", [False, True])
@pytest.mark.parametrize("vmm", [None, QEMU])
def test_qemu_leaves_its_own_network_for_a_way_out_only(
    monkeypatch: pytest.MonkeyPatch, uid: int, ready: bool, vmm: VmmKind | None
) -> None:
    as_user(monkeypatch, uid, ready=ready)
    for wish, outbound, comes_to in (
        ("auto", False, NONE),
        ("none", False, NONE),
        ("auto", True, USER),
        ("user", False, USER),
        ("user", True, USER),
    ):
        spec = resolve(RunSpec(vmm=vmm, outbound=outbound), wish)
        assert (spec.host_network, spec.user_network) == comes_to, (wish, outbound)
        assert spec.outbound == outbound


@pytest.mark.parametrize(
    ("uid", "ready", "outbound", "comes_to"),
    [
        (0, True, False, HOST),
        (0, False, False, NONE),
        (0, False, True, HOST),  # which says what is missing when it is attached, instead of leaving the way out away
        (1000, True, False, USER),
        (1000, False, False, NONE),
        (1000, False, True, USER),
    ],
)
def test_firecracker_is_not_left_without_the_way_out_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, uid: int, ready: bool, outbound: bool, comes_to: tuple[bool, bool]
) -> None:
    as_user(monkeypatch, uid, ready=ready)
    spec = resolve(RunSpec(vmm=FIRECRACKER, outbound=outbound), "auto")
    assert (spec.host_network, spec.user_network) == comes_to


@pytest.mark.parametrize(
    ("spec", "wish", "message"),
    [
        (RunSpec(tap=TAP, outbound=True), "auto", "--outbound and --tap"),
        (RunSpec(vmm=FIRECRACKER, outbound=True), "none", "--outbound and --network none"),
        (RunSpec(outbound=True), "none", "--outbound and --network none"),
        (RunSpec(tap=TAP), "user", "--network user and --tap"),
        (RunSpec(tap=TAP, vmm=FIRECRACKER), "host", "--network host is for Firecracker without --tap"),
        (RunSpec(), "host", "--network host is for Firecracker without --tap"),
        (RunSpec(vmm=QEMU, outbound=True), "host", "--network host is for Firecracker without --tap"),
        (RunSpec(vmm=FIRECRACKER), "user", "who are not root"),
    ],
)
def test_what_contradicts_itself(monkeypatch: pytest.MonkeyPatch, spec: RunSpec, wish: str, message: str) -> None:
    as_user(monkeypatch, 0, ready=True)
    with pytest.raises(UsageError, match=message) as caught:
        resolve(spec, wish)
    assert caught.value.hint
