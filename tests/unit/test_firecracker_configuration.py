"""What Firecracker is asked for, as golden files; and what is refused before it is."""

from __future__ import annotations

import os
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from squib.errors import UsageError
from squib.formats.kernel_cmdline import MAX_COMMAND_LINE
from squib.model.machine import Drive, MachineConfig, Mmds, UserNetwork, VmmLog, Vsock
from squib.model.network import GuestIp, RateLimiter, Tap, TokenBucket
from squib.vmm.firecracker.configuration import _added, argv, boot_args, requests
from support import golden

PROGRAM = Path("/usr/bin/firecracker")
SEED_IP = GuestIp(IPv4Interface("172.17.100.2/24"), IPv4Address("172.17.100.1"), "clock", dns=(IPv4Address("172.17.100.1"),))
CLOCK = MachineConfig(
    name="clock.1",
    kernel=Path("/images/clock/vmlinux"),
    initrd=Path("/images/clock/initrd.img"),
    kernel_args=("squib.port=8080", "squib.logs=debug"),
    mem_size_mib=128,
    vcpu_count=1,
    drives=(Drive("rootfs", Path("/images/clock, mine/rootfs.ext4"), is_root=True),),
    interfaces=(Tap("eth0", "tap0", "AA:FC:00:00:00:01", SEED_IP),),
)
ALL = replace(
    CLOCK,
    initrd=None,
    boot_args="console=ttyS0 reboot=k panic=1 nomodules",
    vcpu_count=2,
    smt=True,
    cpu_template="T2",
    drives=(
        Drive("rootfs", Path("/root.ext4"), read_only=False, is_root=True, partuuid="0eaa91a0-01"),
        Drive("drive_2", Path("/data.raw"), read_only=False),
    ),
    interfaces=(
        Tap("eth0", "tap0", None, None, RateLimiter(TokenBucket(1 << 20, 1000, 5)), RateLimiter(None, TokenBucket(9, 100))),
        Tap("eth1", "tap1", "AA:FC:00:00:00:02"),
    ),
    vsock=Vsock(3, Path("/run/v.sock")),
    mmds=Mmds(("eth1",), '{"a":"ä"}', "V1", IPv4Address("169.254.1.1")),
    log=VmmLog(Path("/run/log.fifo"), "Debug"),
    metrics=Path("/run/metrics.fifo"),
)


@pytest.mark.parametrize(("name", "machine"), [("clock", CLOCK), ("all", ALL)])
def test_golden(name: str, machine: MachineConfig, update_golden: bool) -> None:
    lines = [
        " ".join(argv(machine, program=PROGRAM)),
        *(f"{one.method} {one.path} {one.body.decode()}" for one in requests(machine)),
    ]
    golden(f"firecracker-start-{name}.txt", "".join(f"{line}\n" for line in lines), update=update_golden)


def test_neither_console_nor_entropy_nor_network() -> None:
    machine = replace(CLOCK, console=False, entropy=False, interfaces=())
    assert boot_args(machine).startswith("8250.nr_uarts=0 quiet reboot=k panic=-1 ")
    assert "ip=" not in boot_args(machine)
    assert not {"/entropy", "/network-interfaces/eth0"} & {one.path for one in requests(machine)}


def test_a_network_inside_the_vmm_is_refused() -> None:
    network = UserNetwork(IPv4Interface("10.0.2.15/24"), IPv4Address("10.0.2.2"), "52:54:00:73:71:62")
    with pytest.raises(UsageError, match="no network of its own") as caught:
        requests(replace(CLOCK, interfaces=(network,)))
    assert "--tap" in caught.value.hint


def test_a_path_that_is_no_text() -> None:
    with pytest.raises(UsageError, match="not UTF-8"):
        requests(replace(CLOCK, kernel=Path(os.fsdecode(b"/\xff"))))


@pytest.mark.parametrize("whole", [False, True])
def test_the_line_leaves_room_for_what_firecracker_adds(whole: bool) -> None:
    def machine(size: int) -> MachineConfig:
        return replace(CLOCK, boot_args="x" * size) if whole else replace(CLOCK, kernel_args=("x" * size,))

    room = MAX_COMMAND_LINE - len(_added(CLOCK)) - len(boot_args(machine(1))) + 1
    assert len(boot_args(machine(room))) + len(_added(CLOCK)) == MAX_COMMAND_LINE
    with pytest.raises(UsageError, match=r"2,048 bytes long, with what Firecracker adds"):
        boot_args(machine(room + 1))
    assert _added(CLOCK).startswith(" root=/dev/vda ro virtio_mmio.device=4K@")
    assert _added(CLOCK).count("virtio_mmio") == 3


def test_long_metadata_need_a_longer_limit() -> None:
    def line(size: int) -> tuple[str, ...]:
        return argv(replace(CLOCK, mmds=Mmds(("eth0",), "x" * size)), program=PROGRAM)

    assert "--http-api-max-payload-size" not in line(51200)
    assert line(51201)[-2:] == ("--http-api-max-payload-size", "51201")
