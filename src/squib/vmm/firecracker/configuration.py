"""MachineConfig → what Firecracker is asked for: pure, and what it cannot do is refused here.

Firecracker runs in the machine's folder, so what it makes there has short relative names. Three traps of its boot line: a given
one replaces its own default whole, so the way to end must stand in it; behind it come the root and a parameter for each device;
and all of that must fit the kernel's 2,047 bytes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

from squib.errors import UsageError
from squib.formats import kernel_cmdline
from squib.formats.kernel_cmdline import MAX_COMMAND_LINE
from squib.model import network
from squib.model.machine import Drive, MachineConfig, Mmds
from squib.model.network import Tap
from squib.vmm.kvm_trial import TrialBoot
from squib.wire.firecracker import requests as wire
from squib.wire.firecracker import resources as api
from squib.wire.firecracker import vm_json
from squib.wire.firecracker.requests import Request

__all__ = [
    "API_SOCKET",
    "LOG",
    "METRICS",
    "STDERR",
    "arguments",
    "argv",
    "boot_args",
    "configuration",
    "requests",
    "requests_for",
    "trial_boot",
]

API_SOCKET = "api.sock"
LOG = "firecracker.log"
METRICS = "metrics.jsonl"
STDERR = "stderr.log"

_MAX_PAYLOAD = 51200
"""Bytes that Firecracker takes as a request, and as metadata, unless it is told otherwise (vmm/src/lib.rs)."""

_KERNEL_ARGS = (
    "quiet",
    "reboot=k",  # by the keyboard controller: Firecracker takes that reset for the machine's end
    "panic=-1",  # a panic reboots at once, so a dead kernel ends its VMM
    "pci=off",  # there is none, and looking for it takes its time
    *("i8042.noaux", "i8042.nomux", "i8042.dumbkbd"),  # the controller is a stub: do not look for what it lacks
    "cryptomgr.notests",
)

_DEVICE = " virtio_mmio.device=4K@0x00000000:00"
"""What Firecracker adds for each device (device_manager/mmio.rs), as long as it gets."""


def argv(config: MachineConfig, *, program: Path) -> tuple[str, ...]:
    """The command line, program first, to be run in the machine's folder."""
    return (str(program), "--id", re.sub(r"[^A-Za-z0-9-]", "-", config.name)[:64], *arguments(config))


def arguments(config: MachineConfig) -> tuple[str, ...]:
    """What is behind the program and its id.

    The log is named here and not by the API: what comes before it was named goes to standard output, which is the console.
    """
    metadata = 0 if config.mmds is None else len(config.mmds.metadata.encode())
    return (
        *("--api-sock", API_SOCKET),
        *("--log-path", LOG if config.log.path is None else str(config.log.path)),
        *("--level", config.log.level),
        *(() if metadata <= _MAX_PAYLOAD else ("--http-api-max-payload-size", str(metadata))),
    )


def trial_boot(kernel: Path, *, program: Path) -> TrialBoot:
    """How Firecracker boots `kernel` alone, without its API, for the sake of its first words on the console."""
    machine = api.FullVmConfiguration(
        boot_source=api.BootSource(_text(kernel), boot_args="console=ttyS0 earlyprintk=serial,ttyS0 reboot=k panic=-1"),
        drives=(),
        machine_config=api.MachineConfiguration(vcpu_count=1, mem_size_mib=128),
    )
    line = (program, "--no-api", "--config-file", "vm.json", "--id", "trial", "--log-path", LOG, "--level", "Warning")
    return TrialBoot(
        "Firecracker", program, line, console_on_stdout=True, files=(("vm.json", vm_json.encode(machine)), (LOG, b""))
    )


def requests(config: MachineConfig) -> tuple[Request, ...]:
    """All that Firecracker is asked for, in order; the last one starts the machine. Raises UsageError."""
    return requests_for(configuration(config), config)


def requests_for(machine: api.FullVmConfiguration, config: MachineConfig) -> tuple[Request, ...]:
    """The same for `machine`, which is `config` in other names."""
    metadata = None if config.mmds is None else config.mmds.metadata
    return (*wire.configure(machine, metadata=metadata), wire.action("InstanceStart"))


def configuration(config: MachineConfig) -> api.FullVmConfiguration:
    """The machine in Firecracker's words. Raises UsageError for what it cannot do."""
    return api.FullVmConfiguration(
        boot_source=api.BootSource(
            kernel_image_path=_text(config.kernel),
            initrd_path=None if config.initrd is None else _text(config.initrd),
            boot_args=boot_args(config),
        ),
        drives=tuple(_drive(drive) for drive in sorted(config.drives, key=lambda drive: drive.is_root)),
        machine_config=api.MachineConfiguration(
            vcpu_count=config.vcpu_count,
            mem_size_mib=config.mem_size_mib,
            smt=config.smt,
            cpu_template=cast("api.CpuTemplate | None", config.cpu_template),
        ),
        network_interfaces=tuple(_network_interface(tap) for tap in _taps(config)),
        vsock=None if config.vsock is None else api.Vsock(config.vsock.guest_cid, _text(config.vsock.uds_path)),
        entropy=api.EntropyDevice() if config.entropy else None,
        mmds_config=None if config.mmds is None else _mmds(config.mmds),
        metrics=api.Metrics(METRICS if config.metrics is None else _text(config.metrics)),
    )


def boot_args(config: MachineConfig) -> str:
    """The kernel's command line as far as squib says it. Raises UsageError where no room is left for what Firecracker adds."""
    if config.boot_args is not None:
        line = kernel_cmdline.whole(config.boot_args)
    else:
        console = "console=ttyS0" if config.console else "8250.nr_uarts=0"
        addresses = (tap.guest.parameter(config.name) for tap in _taps(config) if tap.guest is not None)
        line = kernel_cmdline.join((console, *_KERNEL_ARGS, *addresses, *config.kernel_args))
    size = len(line.encode()) + len(_added(config))
    if size > MAX_COMMAND_LINE:
        raise UsageError(
            f"the kernel's command line would be {size:,} bytes long, with what Firecracker adds; the kernel takes"
            f" {MAX_COMMAND_LINE:,}",
            hint="give shorter or fewer values",
        )
    return line


def _added(config: MachineConfig) -> str:
    """As long as what Firecracker adds to the line gets (builder.rs, attach_block_devices and the others)."""
    root = next((drive for drive in config.drives if drive.is_root), None)
    device = "/dev/vda" if root is None or root.partuuid is None else f"PARTUUID={root.partuuid}"
    count = len(config.drives) + len(config.interfaces) + (config.vsock is not None) + config.entropy
    return ("" if root is None else f" root={device} ro") + _DEVICE * count


def _taps(config: MachineConfig) -> tuple[Tap, ...]:
    taps = tuple(one for one in config.interfaces if isinstance(one, Tap))
    if len(taps) < len(config.interfaces):
        raise UsageError(
            "Firecracker has no network of its own: it needs a tap device of the host's",
            hint="name one with --tap, or use --vmm qemu, which needs none",
        )
    return taps


def _drive(drive: Drive) -> api.Drive:
    return api.Drive(
        drive_id=drive.drive_id,
        is_root_device=drive.is_root,
        partuuid=drive.partuuid,
        is_read_only=drive.read_only,
        path_on_host=_text(drive.host_path),
    )


def _network_interface(tap: Tap) -> api.NetworkInterface:
    return api.NetworkInterface(
        iface_id=tap.iface_id,
        host_dev_name=tap.host_dev_name,
        guest_mac=tap.guest_mac,
        rx_rate_limiter=_rate_limiter(tap.rx_rate_limiter),
        tx_rate_limiter=_rate_limiter(tap.tx_rate_limiter),
    )


def _rate_limiter(limiter: network.RateLimiter | None) -> api.RateLimiter | None:
    return None if limiter is None else api.RateLimiter(_bucket(limiter.bandwidth), _bucket(limiter.ops))


def _bucket(bucket: network.TokenBucket | None) -> api.TokenBucket | None:
    return None if bucket is None else api.TokenBucket(bucket.size, bucket.refill_time_ms, bucket.one_time_burst)


def _mmds(mmds: Mmds) -> api.MmdsConfig:
    return api.MmdsConfig(
        network_interfaces=mmds.iface_ids,
        version=mmds.version,
        ipv4_address=None if mmds.ipv4_address is None else str(mmds.ipv4_address),
    )


def _text(path: Path) -> str:
    """A path as JSON can say it. Raises UsageError: JSON is text in UTF-8, a path may be any bytes."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"Firecracker cannot be told the path {str(path)!a}: it is not UTF-8", hint="give the file another name"
        ) from error
    return str(path)
