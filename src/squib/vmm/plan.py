"""RunSpec + Artifact + leased ports → MachineConfig. Pure; what cannot work is refused here, before anything boots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface

from squib.errors import UsageError
from squib.formats.kernel_cmdline import squib_parameters
from squib.model.appliance import Appliance
from squib.model.host_network import Slot
from squib.model.image import INITRD, Artifact
from squib.model.keys import key_values
from squib.model.machine import Drive, Interface, MachineConfig, PortForward, UserNetwork, VmmKind
from squib.model.namespace_network import NamespaceNetwork
from squib.model.network import DEFAULT_GUEST_IP, GuestIp, HostEnd, Tap
from squib.model.run import LOOPBACK, Publish, RunSpec
from squib.model.units import MIB

__all__ = [
    "ample_mem_size_mib",
    "endpoints",
    "least_mem_size_mib",
    "machine_config",
    "publications",
    "served",
    "unserved",
    "with_lease",
    "with_namespace",
    "with_slot",
]

# The addresses that QEMU's user network has by default (its documentation, "Using the user mode network stack").
_GUEST = IPv4Interface("10.0.2.15/24")
_GATEWAY = IPv4Address("10.0.2.2")
_GUEST_MAC = "52:54:00:73:71:62"

_STEP_MIB = 8
_GUEST_MIB = 20
"""What a Python guest has room in, beside its kernel. The clock was seen to boot with 11 beside the tuned kernel, not with 7
(docs/promises.md, "Memory")."""


def publications(appliance: Appliance, spec: RunSpec) -> tuple[Publish, ...]:
    """What is to be published: as the spec says, else every port of the appliance on any free port of loopback.

    A `port` given for this run takes the place of the appliance's own. With a tap, or in Firecracker, nothing is published yet:
    then a wish for that is a UsageError.
    """
    if spec.on_the_hosts_network:
        if spec.publish:
            raise UsageError(
                "ports cannot be published with --tap, or without a network of its own",
                hint="use --network user (root: --network host), or --vmm qemu; on a tap it is reached at its own address",
            )
        return ()
    if spec.publish is not None:
        if spec.own_network and any(one.host_address.version == 6 for one in spec.publish):
            raise UsageError("a machine with a tap of its own has IPv4 only", hint="publish on an IPv4 address of this host")
        return spec.publish
    return tuple(Publish(LOOPBACK, 0, port) for port in served(appliance, spec))


def unserved(appliance: Appliance, spec: RunSpec) -> tuple[int, ...]:
    """Ports of the guest that are to be published, and that the appliance does not say it serves."""
    known = served(appliance, spec)
    return tuple(dict.fromkeys(one.guest_port for one in spec.publish or () if one.guest_port not in known))


def endpoints(appliance: Appliance, spec: RunSpec) -> tuple[tuple[IPv4Address, int], ...]:
    """Where the guest serves on the host's network: its own address, and each port of the appliance; nowhere without a tap."""
    if spec.tap is None:
        return ()
    guest = (spec.guest_ip or DEFAULT_GUEST_IP).client.ip
    return tuple((guest, port) for port in served(appliance, spec))


def served(appliance: Appliance, spec: RunSpec) -> tuple[int, ...]:
    """The ports that the appliance says it serves; a `port` given for this run takes the place of its own."""
    values = key_values(appliance, spec.values)
    usual = next((int(key.default) for key in appliance.keys if key.name == "port"), 80)
    asked = int(values.get("port", usual))
    return tuple(dict.fromkeys(asked if port == usual else port for port in appliance.network.ports))


def least_mem_size_mib(artifact: Artifact) -> int:
    """MiB under which the kernel cannot even unpack itself: where it ends in memory, and an initrd (in steps of 8)."""
    return _stepped(_loaded_mib(artifact))


def ample_mem_size_mib(artifact: Artifact) -> int:
    """MiB in which an appliance that needs little boots: what to say to whoever gave less."""
    return _stepped(_loaded_mib(artifact) + _GUEST_MIB)


def _loaded_mib(artifact: Artifact) -> int:
    initrd = sum(file.size for file in artifact.manifest.files if file.name == INITRD)  # there may be none
    return artifact.manifest.kernel.load_mib + -(-initrd // MIB)


def _stepped(size_mib: int) -> int:
    return -(-size_mib // _STEP_MIB) * _STEP_MIB


def machine_config(artifact: Artifact, spec: RunSpec, name: str) -> MachineConfig:
    """The machine to boot, with nothing published yet. Raises UsageError: a wrong key value, or too little memory."""
    appliance = artifact.manifest.appliance
    mem_size_mib = spec.mem_size_mib or appliance.machine.mem_size_mib
    least = least_mem_size_mib(artifact)
    if mem_size_mib < least:
        raise UsageError(
            f"{mem_size_mib} MiB cannot hold kernel {artifact.manifest.kernel.release}: under {least} MiB it cannot start",
            hint=f"--memory {ample_mem_size_mib(artifact)}M; how much it takes at least, squib measure memory finds",
        )
    values: Mapping[str, str] = key_values(appliance, spec.values)
    return MachineConfig(
        name=name,
        kernel=artifact.vmlinux,
        initrd=artifact.initrd,
        kernel_args=squib_parameters(values),
        mem_size_mib=mem_size_mib,
        vcpu_count=spec.vcpu_count or appliance.machine.vcpu_count,
        drives=(Drive("rootfs", artifact.rootfs, is_root=True),),
        interfaces=_interfaces(spec),
        held=tuple((artifact.folder / name, file) for name, file in artifact.held),
    )


def _interfaces(spec: RunSpec) -> tuple[Interface, ...]:
    if spec.tap is not None:
        if spec.vmm is VmmKind.QEMU:
            raise UsageError("QEMU is not given tap devices here", hint="leave --tap out, or use --vmm firecracker")
        name, mac = spec.tap
        return (Tap("eth0", name, mac, spec.guest_ip or DEFAULT_GUEST_IP),)
    if spec.guest_ip is not None:
        raise UsageError("--ip goes with --tap", hint="name the tap device that the guest has that address on")
    if spec.on_the_hosts_network or spec.own_network:  # in the second case there is one when it starts
        return ()
    return (UserNetwork(_GUEST, _GATEWAY, _GUEST_MAC),)


def with_slot(
    config: MachineConfig, slot: Slot, forwards: tuple[PortForward, ...], dns: tuple[IPv4Address, ...]
) -> MachineConfig:
    """`config` with the network that was leased for it on the host; `dns` are the servers that its guest is told of."""
    looped = any(one.host_address.is_loopback or one.host_address == IPv4Address(0) for one in forwards)
    tap = replace(_tap(slot, dns), to_make=HostEnd(slot.host, from_loopback=looped))
    return replace(config, interfaces=(tap,), held_ports=forwards)


def with_namespace(config: MachineConfig, network: NamespaceNetwork, dns: tuple[IPv4Address, ...]) -> MachineConfig:
    """`config` with `network`, which is made when it starts; `dns` as above."""
    return replace(config, interfaces=(_tap(network.slot, dns),), namespace=network)


def _tap(slot: Slot, dns: tuple[IPv4Address, ...]) -> Tap:
    return Tap("eth0", slot.tap, slot.guest_mac, GuestIp(slot.guest, slot.host.ip, dns=dns[:2]))


def with_lease(config: MachineConfig, name: str, forwards: tuple[PortForward, ...]) -> MachineConfig:
    """`config` with the name and the ports that were leased for it."""
    interfaces = tuple(replace(one, forwards=forwards) if isinstance(one, UserNetwork) else one for one in config.interfaces)
    return replace(config, name=name, interfaces=interfaces)
