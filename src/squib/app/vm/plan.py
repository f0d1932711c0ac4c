"""The words of `squib vm` → Firecracker's configuration: pure. The command line beats the file, and defaults fill the rest.

Identifiers are firectl's, because its users know them from the API: the root drive is "1", further drives are "2", "3" …, and
the network interfaces "1", "2" …. Drives are told in its order, the root last; for the guest the root is /dev/vda all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from squib.errors import UsageError
from squib.formats import kernel_cmdline
from squib.model.vm_spec import (
    DEFAULT_KERNEL,
    DEFAULT_KERNEL_OPTS,
    DEFAULT_LOG_LEVEL,
    DEFAULT_MEM_SIZE_MIB,
    DEFAULT_VCPU_COUNT,
    DriveWord,
    VmSpec,
)
from squib.wire.firecracker.resources import (
    BootSource,
    Drive,
    FullVmConfiguration,
    Logger,
    MachineConfiguration,
    Metrics,
    MmdsConfig,
    NetworkInterface,
    Vsock,
)

__all__ = ["plan"]

_Struct = TypeVar("_Struct", bound=msgspec.Struct)
_ROOT_ID = "1"


def plan(spec: VmSpec, file: FullVmConfiguration | None = None) -> FullVmConfiguration:
    """The machine that `spec` asks for, over what `file` says. Raises UsageError for what no Firecracker can do."""
    drives = _drives(spec, file)
    interfaces = _interfaces(spec, file)
    vsock = None if spec.vsock_device is None else Vsock(spec.vsock_device.cid, spec.vsock_device.path)
    rest = FullVmConfiguration(_boot_source(spec, file), drives) if file is None else file
    machine = msgspec.structs.replace(
        rest,
        boot_source=_boot_source(spec, file),
        drives=drives,
        machine_config=_machine_config(spec, file),
        network_interfaces=interfaces,
        vsock=vsock or rest.vsock,
        mmds_config=_mmds_config(spec, rest, interfaces),
        logger=_logger(spec, rest),
        metrics=rest.metrics if spec.metrics_path is None else Metrics(spec.metrics_path),
    )
    _check(machine)
    return machine


def _boot_source(spec: VmSpec, file: FullVmConfiguration | None) -> BootSource:
    default = BootSource(DEFAULT_KERNEL, boot_args=DEFAULT_KERNEL_OPTS) if file is None else file.boot_source
    return _with(default, kernel_image_path=spec.kernel, boot_args=spec.kernel_opts, initrd_path=spec.initrd_path)


def _machine_config(spec: VmSpec, file: FullVmConfiguration | None) -> MachineConfiguration | None:
    said = {
        "vcpu_count": spec.vcpu_count,
        "mem_size_mib": spec.mem_size_mib,
        "smt": spec.smt,
        "cpu_template": spec.cpu_template,
    }
    if file is not None and file.machine_config is None:
        if all(value is None for value in said.values()):
            return None
        return _with(MachineConfiguration(1, 128), **said)  # Firecracker's own defaults, which the file left it to
    firectls = MachineConfiguration(DEFAULT_VCPU_COUNT, DEFAULT_MEM_SIZE_MIB, smt=True)
    return _with(firectls if file is None or file.machine_config is None else file.machine_config, **said)


def _drives(spec: VmSpec, file: FullVmConfiguration | None) -> tuple[Drive, ...]:
    """The file's root stands where it stood; the command line's comes last, as firectl has it."""
    before = () if file is None else file.drives
    others = tuple(drive for drive in before if not drive.is_root_device)
    if spec.add_drives:
        others = tuple(_drive(str(number), word) for number, word in enumerate(spec.add_drives, start=2))
    roots = tuple(drive for drive in before if drive.is_root_device)
    if spec.root_drive is not None:
        roots = (msgspec.structs.replace(_drive(_free_id(others), spec.root_drive), is_root_device=True),)
    if spec.root_partition is not None:
        if not roots:
            raise UsageError("--root-partition is a partition of the root drive", hint="name the drive: --root-drive PATH")
        roots = tuple(msgspec.structs.replace(drive, partuuid=spec.root_partition) for drive in roots)
    if not spec.add_drives and spec.root_drive is None:
        replaced = iter(roots)
        return tuple(next(replaced) if drive.is_root_device else drive for drive in before)
    return (*others, *roots)


def _drive(drive_id: str, word: DriveWord) -> Drive:
    return Drive(drive_id, is_root_device=False, is_read_only=word.read_only, path_on_host=word.path)


def _free_id(others: Iterable[Drive]) -> str:
    taken = {drive.drive_id for drive in others}
    return _ROOT_ID if _ROOT_ID not in taken else next(name for n in range(len(taken) + 1) if (name := f"root{n}") not in taken)


def _interfaces(spec: VmSpec, file: FullVmConfiguration | None) -> tuple[NetworkInterface, ...]:
    if spec.tap_devices:
        return tuple(
            NetworkInterface(str(number), word.device, guest_mac=word.mac)
            for number, word in enumerate(spec.tap_devices, start=1)
        )
    return () if file is None else file.network_interfaces


def _mmds_config(spec: VmSpec, rest: FullVmConfiguration, interfaces: tuple[NetworkInterface, ...]) -> MmdsConfig | None:
    """As with firectl, every interface may be asked for metadata once there are some."""
    everyone = tuple(interface.iface_id for interface in interfaces)
    mmds = rest.mmds_config
    if mmds is None:
        if spec.metadata is None and spec.mmds_version is None:
            return None
        mmds = MmdsConfig(everyone)
    elif spec.tap_devices:
        mmds = msgspec.structs.replace(mmds, network_interfaces=everyone)
    if not interfaces:
        raise UsageError(
            "metadata is asked for through a network interface, and the guest has none",
            hint="give it one: --tap-device DEVICE/MAC",
        )
    return _with(mmds, version=spec.mmds_version)


def _logger(spec: VmSpec, rest: FullVmConfiguration) -> Logger | None:
    if spec.log_path is None and spec.log_level is None:
        return rest.logger
    logger = _with(rest.logger or Logger(), log_path=spec.log_path, level=spec.log_level)
    return logger if logger.level is not None else msgspec.structs.replace(logger, level=DEFAULT_LOG_LEVEL)


def _with(struct: _Struct, **said: object) -> _Struct:
    """`struct` with those fields that were said."""
    return msgspec.structs.replace(struct, **{name: value for name, value in said.items() if value is not None})


def _check(machine: FullVmConfiguration) -> None:
    """What every Firecracker refuses, or takes for something else than was meant."""
    _once("a drive's id", (drive.drive_id for drive in machine.drives))
    _once("an interface's id", (interface.iface_id for interface in machine.network_interfaces))
    _once("a tap device", (interface.host_dev_name for interface in machine.network_interfaces))
    _once("a MAC address", (one.guest_mac.upper() for one in machine.network_interfaces if one.guest_mac is not None))
    _check_start(machine)
    _check_processors(machine.machine_config)
    _check_mmds(machine)


def _once(what: str, names: Iterable[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise UsageError(f"{name} is there {count} times as {what}", hint="give each once")


def _check_start(machine: FullVmConfiguration) -> None:
    roots = [drive for drive in machine.drives if drive.is_root_device]
    if len(roots) > 1:
        named = " and ".join(drive.drive_id for drive in roots)
        raise UsageError(
            f"{len(roots)} drives are the root: {named}", hint="a machine has one; make the others additional drives"
        )
    for drive in machine.drives:
        if (drive.path_on_host is None) == (drive.socket is None):
            raise UsageError(f"the drive {drive.drive_id} needs either path_on_host or socket", hint="give one of both")
    source = machine.boot_source
    if not roots and source.initrd_path is None:
        raise UsageError("the guest has nothing to start from", hint="give it --root-drive PATH, or --initrd-path PATH")
    if source.boot_args is not None:
        _check_boot_args(source.boot_args, _root_argument(roots[0]) if roots else "")


def _root_argument(root: Drive) -> str:
    """What Firecracker adds for a root drive (builder.rs, attach_block_devices)."""
    device = "/dev/vda" if root.partuuid is None else f"PARTUUID={root.partuuid}"
    return f" root={device} {'ro' if root.is_read_only else 'rw'}"


def _check_boot_args(line: str, added: str) -> None:
    if not all(" " <= character <= "~" for character in line):
        raise UsageError(
            f"the kernel's command line must be printable ASCII, in one line: {line!a}", hint="leave out the others"
        )
    size = len(line) + len(added)
    if size > kernel_cmdline.MAX_COMMAND_LINE:
        raise UsageError(
            f"the kernel's command line would be {size:,} bytes long, with what Firecracker adds; the kernel takes"
            f" {kernel_cmdline.MAX_COMMAND_LINE:,}",
            hint="say less in --kernel-opts",
        )


def _check_processors(config: MachineConfiguration | None) -> None:
    if config is not None and config.smt and config.vcpu_count > 1 and config.vcpu_count % 2:
        raise UsageError(
            f"{config.vcpu_count} processors cannot share cores by two", hint="take an even number, or --disable-smt (-t)"
        )


def _check_mmds(machine: FullVmConfiguration) -> None:
    known = [interface.iface_id for interface in machine.network_interfaces]
    for name in () if machine.mmds_config is None else machine.mmds_config.network_interfaces:
        if name not in known:
            raise UsageError(
                f"metadata is to be asked for through {name}, which is no network interface", hint="see mmds-config"
            )
