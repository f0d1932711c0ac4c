"""RunSpec + Artifact + leased ports → MachineConfig. Pure; what cannot work is refused here, before anything boots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface

from squib.errors import UsageError
from squib.formats.kernel_cmdline import squib_parameters
from squib.model.appliance import Appliance
from squib.model.image import INITRD, Artifact
from squib.model.keys import key_values
from squib.model.machine import Drive, MachineConfig, PortForward, UserNetwork
from squib.model.run import LOOPBACK, Publish, RunSpec
from squib.model.units import MIB

__all__ = ["least_mem_size_mib", "machine_config", "publications", "with_lease"]

# The addresses that QEMU's user network has by default (its documentation, "Using the user mode network stack").
_GUEST = IPv4Interface("10.0.2.15/24")
_GATEWAY = IPv4Address("10.0.2.2")
_GUEST_MAC = "52:54:00:73:71:62"

_STEP_MIB = 8


def publications(appliance: Appliance, spec: RunSpec) -> tuple[Publish, ...]:
    """What is to be published: as the spec says, else every port of the appliance on any free port of loopback.

    A `port` given for this run takes the place of the appliance's own.
    """
    if spec.publish is not None:
        return spec.publish
    values = key_values(appliance, spec.values)
    usual = next((int(key.default) for key in appliance.keys if key.name == "port"), 80)
    asked = int(values.get("port", usual))
    ports = dict.fromkeys(asked if port == usual else port for port in appliance.network.ports)
    return tuple(Publish(LOOPBACK, 0, port) for port in ports)


def least_mem_size_mib(artifact: Artifact) -> int:
    """MiB under which the kernel cannot even unpack itself: where it ends in memory, and the initrd (in steps of 8)."""
    initrd = next(file.size for file in artifact.manifest.files if file.name == INITRD)
    needed = artifact.manifest.kernel.load_mib + -(-initrd // MIB)
    return -(-needed // _STEP_MIB) * _STEP_MIB


def machine_config(artifact: Artifact, spec: RunSpec, name: str) -> MachineConfig:
    """The machine to boot, with nothing published yet. Raises UsageError: a wrong key value, or too little memory."""
    appliance = artifact.manifest.appliance
    mem_size_mib = spec.mem_size_mib or appliance.machine.mem_size_mib
    least = least_mem_size_mib(artifact)
    if mem_size_mib < least:
        raise UsageError(
            f"{mem_size_mib} MiB cannot hold kernel {artifact.manifest.kernel.release}: it needs at least {least} MiB",
            hint=f"--memory {least}M or more",
        )
    values: Mapping[str, str] = key_values(appliance, spec.values)
    return MachineConfig(
        name=name,
        kernel=artifact.vmlinux,
        initrd=artifact.initrd,
        kernel_args=squib_parameters(values),
        mem_size_mib=mem_size_mib,
        vcpu_count=spec.vcpu_count or appliance.machine.vcpu_count,
        drives=(Drive("rootfs", artifact.rootfs),),
        network=UserNetwork(_GUEST, _GATEWAY, _GUEST_MAC, outbound=appliance.network.outbound),
    )


def with_lease(config: MachineConfig, name: str, forwards: tuple[PortForward, ...]) -> MachineConfig:
    """`config` with the name and the ports that were leased for it."""
    return replace(config, name=name, network=replace(config.network, forwards=forwards))
