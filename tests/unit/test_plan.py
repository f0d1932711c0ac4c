"""RunSpec + Artifact → MachineConfig: what is taken from where, and what is refused before anything boots."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, ip_address
from pathlib import Path

import pytest

from squib.errors import UsageError
from squib.model.appliance import Appliance, Key, KeyType, MachineSettings, NetworkSettings
from squib.model.host_network import Slot
from squib.model.image import Artifact, FileRecord, KernelRecord, Manifest
from squib.model.machine import PortForward, UserNetwork, VmmKind
from squib.model.network import DEFAULT_GUEST_IP, GuestIp, Tap
from squib.model.run import Publish, RunSpec
from squib.vmm.plan import (
    ample_mem_size_mib,
    endpoints,
    least_mem_size_mib,
    machine_config,
    publications,
    unserved,
    with_lease,
    with_slot,
)

APPLIANCE = Appliance(
    "shop",
    "shop:answer",
    Path("/srv"),
    keys=(Key("port", KeyType.PORT, 8000, ""), Key("greeting", KeyType.STRING, "", "")),
    machine=MachineSettings(160, 2),
    network=NetworkSettings((8000, 9000)),
)
ARTIFACT = Artifact(
    Path("/srv/out"),
    Manifest(
        "0",
        1,
        APPLIANCE,
        KernelRecord("6.1", "test", 68),
        (FileRecord("initrd.img", 700_000, ""), FileRecord("rootfs.ext4", 1, "")),
        (),
    ),
)
LOOPBACK = ip_address("127.0.0.1")


def test_the_appliance_decides_what_the_run_leaves_open() -> None:
    config = machine_config(ARTIFACT, RunSpec(), "shop-1")
    assert (config.mem_size_mib, config.vcpu_count, config.name) == (160, 2, "shop-1")
    assert config.kernel == Path("/srv/out/vmlinux")
    assert config.drives[0].read_only
    assert config.interfaces == (UserNetwork(IPv4Interface("10.0.2.15/24"), IPv4Address("10.0.2.2"), "52:54:00:73:71:62"),)


def test_the_run_decides_what_it_names() -> None:
    spec = RunSpec(values=(("greeting", "a b"), ("port", "81")), mem_size_mib=256, vcpu_count=1)
    config = machine_config(ARTIFACT, spec, "shop")
    assert (config.mem_size_mib, config.vcpu_count) == (256, 1)
    assert set(config.kernel_args) == {"squib.greeting=a%20b", "squib.port=81"}


def test_what_is_published() -> None:
    assert publications(APPLIANCE, RunSpec()) == (Publish(LOOPBACK, 0, 8000), Publish(LOOPBACK, 0, 9000))
    assert publications(APPLIANCE, RunSpec(values=(("port", "81"),))) == (Publish(LOOPBACK, 0, 81), Publish(LOOPBACK, 0, 9000))
    named = (Publish(LOOPBACK, 8080, 80),)
    assert publications(APPLIANCE, RunSpec(publish=named)) == named


def test_published_ports_that_the_appliance_does_not_name() -> None:
    def published(*ports: int, values: tuple[tuple[str, str], ...] = ()) -> RunSpec:
        return RunSpec(publish=tuple(Publish(LOOPBACK, 0, port) for port in ports), values=values)

    assert unserved(APPLIANCE, RunSpec()) == unserved(APPLIANCE, published(8000, 9000)) == ()
    assert unserved(APPLIANCE, published(81, 9000, 81, 22)) == (81, 22)
    assert unserved(APPLIANCE, published(81, 8000, values=(("port", "81"),))) == (8000,)


def test_memory_that_cannot_hold_the_kernel_is_refused() -> None:
    assert least_mem_size_mib(ARTIFACT) == 72
    machine_config(ARTIFACT, RunSpec(mem_size_mib=72), "shop")
    with pytest.raises(UsageError, match=r"71 MiB cannot hold kernel 6\.1") as caught:
        machine_config(ARTIFACT, RunSpec(mem_size_mib=71), "shop")
    assert caught.value.hint.startswith("--memory 96M; ")  # in which Debian's kernel was measured to boot with room
    big = replace(ARTIFACT, manifest=replace(ARTIFACT.manifest, kernel=KernelRecord("6.1", "test", 200)))
    with pytest.raises(UsageError):
        machine_config(big, RunSpec(), "shop")


def test_the_memory_that_is_suggested_was_measured_to_be_enough_for_the_clock() -> None:
    tuned = replace(ARTIFACT, manifest=replace(ARTIFACT.manifest, kernel=KernelRecord("6.1", "tuned", 17), files=()))
    assert (least_mem_size_mib(tuned), ample_mem_size_mib(tuned)) == (24, 40)
    with pytest.raises(UsageError) as caught:
        machine_config(tuned, RunSpec(mem_size_mib=20), "shop")
    assert caught.value.hint.startswith("--memory 40M; ")


def test_a_lease_gives_name_and_ports() -> None:
    forwards = (PortForward(LOOPBACK, 8080, 80),)
    config = with_lease(machine_config(ARTIFACT, RunSpec(), "shop"), "shop-2", forwards)
    assert config.name == "shop-2"
    assert [one.forwards for one in config.interfaces if isinstance(one, UserNetwork)] == [forwards]


TAPPED = RunSpec(tap=("tap0", "AA:FC:00:00:00:01"))


def test_a_tap_takes_the_place_of_the_network_inside() -> None:
    (interface,) = machine_config(ARTIFACT, TAPPED, "shop").interfaces
    assert interface == Tap("eth0", "tap0", "AA:FC:00:00:00:01", DEFAULT_GUEST_IP)
    own = GuestIp(IPv4Interface("10.0.0.2/24"))
    (interface,) = machine_config(ARTIFACT, replace(TAPPED, guest_ip=own), "shop").interfaces
    assert isinstance(interface, Tap)
    assert interface.guest == own
    assert machine_config(ARTIFACT, RunSpec(vmm=VmmKind.FIRECRACKER), "shop").interfaces == ()


def test_with_a_tap_nothing_is_published_and_the_guest_serves_at_its_own_address() -> None:
    guest = IPv4Address("172.17.100.2")
    assert publications(APPLIANCE, TAPPED) == publications(APPLIANCE, RunSpec(vmm=VmmKind.FIRECRACKER)) == ()
    assert publications(APPLIANCE, replace(TAPPED, publish=())) == ()
    assert endpoints(APPLIANCE, replace(TAPPED, values=(("port", "81"),))) == ((guest, 81), (guest, 9000))
    assert endpoints(APPLIANCE, RunSpec()) == endpoints(APPLIANCE, RunSpec(vmm=VmmKind.FIRECRACKER)) == ()
    for spec in (TAPPED, RunSpec(vmm=VmmKind.FIRECRACKER)):
        with pytest.raises(UsageError, match="cannot be published with --tap, or without a network") as caught:
            publications(APPLIANCE, replace(spec, publish=(Publish(LOOPBACK, 0, 80),)))
        assert "--network host" in caught.value.hint


def test_what_does_not_go_together() -> None:
    with pytest.raises(UsageError, match="QEMU is not given tap devices"):
        machine_config(ARTIFACT, replace(TAPPED, vmm=VmmKind.QEMU), "shop")
    with pytest.raises(UsageError, match="--ip goes with --tap"):
        machine_config(ARTIFACT, RunSpec(guest_ip=DEFAULT_GUEST_IP), "shop")


def test_a_network_of_the_hosts() -> None:
    spec = RunSpec(vmm=VmmKind.FIRECRACKER, host_network=True)
    assert [one.guest_port for one in publications(APPLIANCE, spec)] == [
        one.guest_port for one in publications(APPLIANCE, RunSpec())
    ]
    assert endpoints(APPLIANCE, spec) == ()
    with pytest.raises(UsageError, match="IPv4 only"):
        publications(APPLIANCE, replace(spec, publish=(Publish(IPv6Address("::1"), 0, 80),)))
    config = machine_config(ARTIFACT, spec, "shop")
    assert config.interfaces == (), "until it is leased"
    forwards = (PortForward(LOOPBACK, 8080, 80),)
    slot = Slot("squib3", IPv4Interface("10.83.0.13/30"), IPv4Interface("10.83.0.14/30"), "06:73:0a:53:00:0e")
    config = with_slot(config, slot, forwards, (IPv4Address("9.9.9.9"), IPv4Address("1.1.1.1"), IPv4Address("8.8.8.8")))
    assert config.held_ports == forwards
    (tap,) = config.interfaces
    assert isinstance(tap, Tap)
    assert (tap.host_dev_name, tap.guest_mac) == ("squib3", "06:73:0a:53:00:0e")
    assert tap.guest is not None
    assert tap.guest.parameter("shop") == "ip=10.83.0.14::10.83.0.13:255.255.255.252:shop:eth0:off:9.9.9.9:1.1.1.1:"
