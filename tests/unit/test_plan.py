"""RunSpec + Artifact → MachineConfig: what is taken from where, and what is refused before anything boots."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from squib.errors import UsageError
from squib.model.appliance import Appliance, Key, KeyType, MachineSettings, NetworkSettings
from squib.model.image import Artifact, FileRecord, KernelRecord, Manifest
from squib.model.machine import PortForward
from squib.model.run import Publish, RunSpec
from squib.vmm.plan import least_mem_size_mib, machine_config, publications, with_lease

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
    assert config.network.outbound is False


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


def test_memory_that_cannot_hold_the_kernel_is_refused() -> None:
    assert least_mem_size_mib(ARTIFACT) == 72
    machine_config(ARTIFACT, RunSpec(mem_size_mib=72), "shop")
    with pytest.raises(UsageError, match=r"71 MiB cannot hold kernel 6\.1") as caught:
        machine_config(ARTIFACT, RunSpec(mem_size_mib=71), "shop")
    assert caught.value.hint == "--memory 72M or more"
    big = replace(ARTIFACT, manifest=replace(ARTIFACT.manifest, kernel=KernelRecord("6.1", "test", 200)))
    with pytest.raises(UsageError):
        machine_config(big, RunSpec(), "shop")


def test_a_lease_gives_name_and_ports() -> None:
    forwards = (PortForward(LOOPBACK, 8080, 80),)
    config = with_lease(machine_config(ARTIFACT, RunSpec(), "shop"), "shop-2", forwards)
    assert (config.name, config.network.forwards) == ("shop-2", forwards)
