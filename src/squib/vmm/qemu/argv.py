"""The command line of QEMU, as a pure function of the machine: no file is looked at, equal machines give equal lines.

QEMU runs in the machine's run folder, so the files it makes there have short relative names (a Unix socket's path ends at 108
bytes). Paths from outside may hold any byte a path may: where QEMU splits at commas, a comma is written twice.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path
from typing import assert_never

from squib.errors import UsageError
from squib.formats import kernel_cmdline
from squib.model.machine import Accel, Drive, Interface, MachineConfig, PortForward, UserNetwork, check_machine_name
from squib.model.network import Tap
from squib.vmm.qemu.refusals import network_of, refuse
from squib.vmm.run_dir import CONSOLE

__all__ = ["QMP_SOCKET", "argv", "check_argv", "kernel_command_line", "trial_argv"]

QMP_SOCKET = "qmp.sock"

_KERNEL_ARGS = (
    "console=ttyS0",
    "quiet",
    "reboot=t",  # by triple fault: the one way that both machines have, and -no-reboot turns it into an exit
    "panic=-1",  # a panic reboots at once, so a dead kernel ends its VMM
    "root=/dev/vda",
    "ro",
    # The kernel tests its timer by how often it comes in a time that is counted by the processor's speed, and panics where that
    # is too seldom ("IO-APIC + timer doesn't work": arch/x86/kernel/apic/io_apic.c, timer_irq_works). Of an emulated processor
    # on a busy host that says nothing; QEMU's timer works. Under KVM the kernel leaves the test out by itself.
    "no_timer_check",
    "cryptomgr.notests",  # a fifth of an emulated boot is self-tests of ciphers that nothing here uses
)

_SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"


def argv(config: MachineConfig, accel: Accel, *, program: Path, qmp_fd: int | None = None) -> tuple[str, ...]:
    """The whole line, program first, to be run in the machine's folder.

    `qmp_fd` is an inherited listening socket; without it QEMU makes `QMP_SOCKET` itself. Raises UsageError for what QEMU
    cannot express.
    """
    check_machine_name(config.name)
    refuse(config)
    initrd = () if config.initrd is None else ("-initrd", str(config.initrd))
    return (
        str(program),
        *("-name", config.name),
        *("-nodefaults", "-no-user-config", "-no-reboot"),
        *("-display", "none"),
        *("-sandbox", _SANDBOX),
        *_machine(accel),
        *("-smp", str(config.vcpu_count)),
        *("-m", f"{config.mem_size_mib}M"),
        *("-kernel", str(config.kernel)),
        *initrd,
        *("-append", kernel_command_line(config)),
        *("-chardev", f"file,id=console,path={CONSOLE},append=on"),
        *("-serial", "chardev:console"),
        *("-chardev", f"socket,id=qmp,{_qmp_address(qmp_fd)},server=on,wait=off"),
        *("-mon", "chardev=qmp,mode=control"),
        *(part for drive in config.drives for part in _drive(drive, accel)),
        *_network(network_of(config), accel),
        *("-object", "rng-random,id=rng,filename=/dev/urandom"),
        *("-device", f"{_virtio('rng', accel)},rng=rng"),
    )


def trial_argv(kernel: Path, accel: Accel, *, program: Path) -> tuple[str, ...]:
    """A boot of `kernel` with nothing else, for the sake of its first words on the console."""
    return (
        str(program),
        *("-nodefaults", "-no-user-config", "-no-reboot"),
        *("-display", "none"),
        *("-sandbox", _SANDBOX),
        *_machine(accel),
        *("-m", "128M"),
        *("-kernel", str(kernel)),
        *("-append", "console=ttyS0 earlyprintk=serial,ttyS0 reboot=t panic=-1"),
        *("-chardev", f"file,id=console,path={CONSOLE},append=on"),
        *("-serial", "chardev:console"),
    )


def check_argv(*, program: Path) -> tuple[str, ...]:
    """A machine that is set up and never started: QEMU has its firmware and its sandbox, or says what is wrong.

    It ends by `quit` on its standard input.
    """
    return (
        str(program),
        *("-nodefaults", "-no-user-config", "-S"),
        *("-display", "none"),
        *("-sandbox", _SANDBOX),
        *_machine(Accel.TCG),
        *("-m", "16M"),
        *("-monitor", "stdio"),
    )


def kernel_command_line(config: MachineConfig) -> str:
    """What the kernel and PID 1 read: what every guest gets, its address, then `config.kernel_args`.

    Or `config.boot_args` as they are. Raises UsageError.
    """
    if config.boot_args is not None:
        return kernel_cmdline.whole(config.boot_args)
    return kernel_cmdline.join((*_KERNEL_ARGS, *_address(config.name, network_of(config)), *config.kernel_args))


def _machine(accel: Accel) -> tuple[str, ...]:
    match accel:
        case Accel.TCG:
            # microvm has no clock to calibrate the TSC by that an emulated processor keeps up with; q35 has the HPET.
            return ("-machine", "q35", "-accel", "tcg", "-cpu", "max")
        case Accel.KVM:
            # The keyboard controller is how Ctrl-Alt-Del, the wish to stop, gets in.
            return ("-machine", "microvm", "-accel", "kvm", "-cpu", "host", "-device", "i8042")
        case _:
            assert_never(accel)


def _virtio(kind: str, accel: Accel) -> str:
    return f"virtio-{kind}-device" if accel is Accel.KVM else f"virtio-{kind}-pci"


def _qmp_address(qmp_fd: int | None) -> str:
    return f"path={QMP_SOCKET}" if qmp_fd is None else f"fd={qmp_fd}"


def _escape(value: str | Path) -> str:
    """`value` as one value of a comma-separated option."""
    return str(value).replace(",", ",,")


def _drive(drive: Drive, accel: Accel) -> tuple[str, ...]:
    read_only = "on" if drive.read_only else "off"
    node = f"driver=raw,node-name={drive.drive_id},read-only={read_only}"
    return (
        *("-blockdev", f"{node},file.driver=file,file.filename={_escape(drive.host_path)}"),
        *("-device", f"{_virtio('blk', accel)},drive={drive.drive_id}"),
    )


def _network(network: Interface | None, accel: Accel) -> tuple[str, ...]:
    if network is None:
        return ()
    # An option ROM is for booting from the network; it costs time, and its file is in a package of its own.
    rom = "" if accel is Accel.KVM else ",romfile="
    mac = "" if network.guest_mac is None else f",mac={network.guest_mac}"
    return (
        *("-netdev", ",".join(_backend(network))),
        *("-device", f"{_virtio('net', accel)},netdev=net0{mac}{rom}"),
    )


def _backend(network: Interface) -> tuple[str, ...]:
    match network:
        case Tap():
            return ("tap,id=net0", f"ifname={_escape(network.host_dev_name)}", "script=no", "downscript=no", "vhost=off")
        case UserNetwork():
            return (
                "user,id=net0",
                "ipv6=off",
                f"net={network.guest.network}",
                f"host={network.gateway}",
                f"dns={_dns(network)}",
                f"dhcpstart={network.guest.ip}",
                # Always: slirp can close all that is outside or nothing, the host's loopback (as its gateway) included.
                "restrict=on",
                *(_forward(forward, network.guest.ip) for forward in network.forwards),
            )
        case _:
            assert_never(network)


def _forward(forward: PortForward, guest: IPv4Address) -> str:
    if forward.host_address.version != 4:
        raise UsageError(
            f"QEMU's user network cannot listen on the IPv6 address {forward.host_address}",
            hint=f"publish on an IPv4 address: --publish 127.0.0.1:{forward.host_port}:{forward.guest_port}",
        )
    return f"hostfwd=tcp:{forward.host_address}:{forward.host_port}-{guest}:{forward.guest_port}"


def _dns(network: UserNetwork) -> IPv4Address:
    """An address for QEMU's name server: the first host of the network that is nobody else's."""
    for address in network.guest.network.hosts():
        if address not in {network.guest.ip, network.gateway}:
            return address
    raise UsageError(f"the network {network.guest.network} is too small", hint="QEMU's user network needs three addresses")


def _address(hostname: str, network: Interface | None) -> tuple[str, ...]:
    """`ip=` as the kernel's nfsroot.txt has it, where the guest is told an address."""
    match network:
        case UserNetwork():
            return (f"ip={network.guest.ip}::{network.gateway}:{network.guest.netmask}:{hostname}:eth0:off",)
        case Tap() if network.guest is not None:
            return (network.guest.parameter(hostname),)
        case _:
            return ()
