"""Whatever a path holds, QEMU's option reader gets it back; what is published is what was asked for."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from squib.model.machine import Accel, Drive, MachineConfig, PortForward, UserNetwork
from squib.vmm.qemu.argv import argv

NETWORK = UserNetwork(IPv4Interface("10.0.2.15/24"), IPv4Address("10.0.2.2"), "52:54:00:73:71:62")
MACHINE = MachineConfig("m", Path("/k"), None, (), 128, 1, (), (NETWORK,))
FORWARDS = st.builds(PortForward, st.ip_addresses(v=4), st.integers(1, 65535), st.integers(1, 65535))
PATHS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).map(
    lambda text: Path("/", text.lstrip("/") or "x")
)


def values(option: str, name: str) -> list[str]:
    """As util/keyval.c and util/qemu-option.c read: a comma ends a value, two are one comma in it."""
    parts = option.replace(",,", "\0").split(",")
    return [part.replace("\0", ",").removeprefix(f"{name}=") for part in parts if part.startswith(f"{name}=")]


@given(PATHS, st.sampled_from(Accel))
def test_a_path_comes_through_whole(path: Path, accel: Accel) -> None:
    line = argv(replace(MACHINE, drives=(Drive("rootfs", path),)), accel, program=Path("/q"))
    blockdev = line[line.index("-blockdev") + 1]
    assert values(blockdev, "file.filename") == [str(path)]
    assert values(blockdev, "read-only") == ["on"]


@given(st.lists(FORWARDS, max_size=8).map(tuple))
def test_what_is_published(forwards: tuple[PortForward, ...]) -> None:
    network = replace(NETWORK, forwards=forwards)
    line = argv(replace(MACHINE, interfaces=(network,)), Accel.TCG, program=Path("/q"))
    netdev = line[line.index("-netdev") + 1]
    assert values(netdev, "hostfwd") == [f"tcp:{f.host_address}:{f.host_port}-10.0.2.15:{f.guest_port}" for f in forwards]
    assert values(netdev, "restrict") == ["on"]
