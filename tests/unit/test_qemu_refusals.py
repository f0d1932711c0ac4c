"""What only Firecracker does is refused by QEMU's command line, each with a name; and what both do, QEMU does."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from squib.errors import UsageError
from squib.model.machine import Accel, Drive, MachineConfig, Mmds, UserNetwork, VmmLog, Vsock
from squib.model.network import Tap
from squib.vmm.qemu.argv import argv, kernel_command_line

NETWORK = UserNetwork(IPv4Interface("10.0.2.15/24"), IPv4Address("10.0.2.2"), "52:54:00:73:71:62")
MACHINE = MachineConfig("m", Path("/k"), None, ("a=b",), 128, 1, (), (NETWORK,))


@pytest.mark.parametrize(
    ("machine", "what"),
    [
        (replace(MACHINE, interfaces=(Tap("eth0", "tap0"),)), "a tap device"),
        (replace(MACHINE, interfaces=(NETWORK, NETWORK)), "more than one network"),
        (replace(MACHINE, mmds=Mmds(("eth0",))), "MMDS"),
        (replace(MACHINE, vsock=Vsock(3, Path("/v"))), "vsock"),
        (replace(MACHINE, cpu_template="T2"), "CPU template"),
        (replace(MACHINE, smt=True), "SMT"),
        (replace(MACHINE, metrics=Path("/m")), "metrics"),
        (replace(MACHINE, log=VmmLog(Path("/l"))), "log"),
        (replace(MACHINE, drives=(Drive("root", Path("/r"), is_root=True, partuuid="1-1"),)), "root partition"),
        (replace(MACHINE, console=False), "no console"),
        (replace(MACHINE, entropy=False), "no entropy"),
    ],
)
def test_refused(machine: MachineConfig, what: str) -> None:
    with pytest.raises(UsageError, match=f"QEMU cannot do this here: .*{what}") as caught:
        argv(machine, Accel.TCG, program=Path("/q"))
    assert "--vmm firecracker" in caught.value.hint


def test_no_network_at_all() -> None:
    line = argv(replace(MACHINE, interfaces=()), Accel.TCG, program=Path("/q"))
    assert "-netdev" not in line
    assert "ip=" not in line[line.index("-append") + 1]


def test_a_whole_line_is_taken_as_it_is() -> None:
    assert kernel_command_line(replace(MACHINE, boot_args='console=ttyS0  x="a b" -- y')) == 'console=ttyS0  x="a b" -- y'


@pytest.mark.parametrize(
    ("line", "message"), [("x" * 2048, "2,048 bytes long"), ("a\nb", "control character"), ("\ud800", "not text")]
)
def test_a_whole_line_that_the_kernel_would_read_otherwise(line: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        kernel_command_line(replace(MACHINE, boot_args=line))
