"""QEMU's command line: golden files for both machines, and what it must refuse."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address
from pathlib import Path

import pytest

from squib.errors import UsageError
from squib.formats.kernel_cmdline import MAX_COMMAND_LINE
from squib.model.machine import Accel, Drive, MachineConfig, PortForward, UserNetwork
from squib.model.namespace_network import NamespaceNetwork, WayOut, WayOutProgram
from squib.net.addresses import slot
from squib.vmm.plan import with_namespace
from squib.vmm.qemu.argv import argv, kernel_command_line
from support import golden

QEMU = Path("/usr/bin/qemu-system-x86_64")
NETWORK = UserNetwork(
    IPv4Interface("10.0.2.15/24"),
    IPv4Address("10.0.2.2"),
    "52:54:00:73:71:62",
    (PortForward(IPv4Address("127.0.0.1"), 8080, 80), PortForward(IPv4Address("0.0.0.0"), 9090, 8080)),
)
NAMESPACE = NamespaceNetwork(
    slot(IPv4Network("10.83.0.0/16"), 0),
    IPv4Network("10.83.255.0/24"),
    WayOutProgram(WayOut.PASTA, Path("/usr/bin/pasta")),
    outbound=True,
)
MACHINE = MachineConfig(
    name="clock-1",
    kernel=Path("/images/clock/vmlinux"),
    initrd=Path("/images/clock/initrd.img"),
    kernel_args=("squib.port=8080", "squib.logs=debug"),
    mem_size_mib=128,
    vcpu_count=1,
    drives=(Drive("rootfs", Path("/images/clock, mine/rootfs.ext4")), Drive("data", Path("/data.raw"), read_only=False)),
    interfaces=(NETWORK,),
)


@pytest.mark.parametrize("accel", list(Accel))
@pytest.mark.parametrize("outbound", [False, True])
def test_golden(accel: Accel, outbound: bool, update_golden: bool) -> None:
    machine = with_namespace(MACHINE, NAMESPACE, (IPv4Address("10.83.255.3"),)) if outbound else MACHINE
    lines = argv(machine, accel, program=QEMU, qmp_fd=7)
    text = "".join(f"{' ' if not part.startswith('-') else ''}{part}\n" for part in lines)
    golden(f"qemu-argv-{accel}{'-outbound' if outbound else ''}.txt", text, update=update_golden)


def test_without_a_socket_qemu_makes_its_own() -> None:
    assert "socket,id=qmp,path=qmp.sock,server=on,wait=off" in argv(MACHINE, Accel.TCG, program=QEMU)


def test_no_initrd() -> None:
    assert "-initrd" not in argv(replace(MACHINE, initrd=None), Accel.TCG, program=QEMU)


@pytest.mark.parametrize("name", ["", "-x", "a b", "a,b", "a=b", "ä", "x" * 64, "a\n"])
def test_a_name_that_qemu_or_the_kernel_would_read_otherwise(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name"):
        argv(replace(MACHINE, name=name), Accel.TCG, program=QEMU)


def test_ipv6_is_refused_with_a_remedy() -> None:
    network = replace(NETWORK, forwards=(PortForward(IPv6Address("::1"), 8080, 80),))
    with pytest.raises(UsageError, match="IPv6 address ::1") as caught:
        argv(replace(MACHINE, interfaces=(network,)), Accel.TCG, program=QEMU)
    assert "--publish 127.0.0.1:8080:80" in caught.value.hint


def test_a_network_without_room_for_three() -> None:
    network = replace(NETWORK, guest=IPv4Interface("10.0.2.1/30"), gateway=IPv4Address("10.0.2.2"))
    with pytest.raises(UsageError, match="too small"):
        argv(replace(MACHINE, interfaces=(network,)), Accel.TCG, program=QEMU)


def test_the_kernels_line_may_be_as_long_as_the_kernel_reads() -> None:
    room = MAX_COMMAND_LINE - len(kernel_command_line(replace(MACHINE, kernel_args=()))) - 1
    assert len(kernel_command_line(replace(MACHINE, kernel_args=("x" * room,)))) == MAX_COMMAND_LINE
    with pytest.raises(UsageError, match="2,048 bytes long"):
        kernel_command_line(replace(MACHINE, kernel_args=("x" * (room + 1),)))
