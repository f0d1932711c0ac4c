"""What a machine may ask of Firecracker only: refused by QEMU in plain words, before anything exists."""

from __future__ import annotations

from squib.errors import UsageError
from squib.model.machine import Interface, MachineConfig
from squib.model.network import Tap

__all__ = ["network_of", "refuse"]


def refuse(config: MachineConfig) -> None:
    """Raises UsageError for the first thing in `config` that squib does not make QEMU do."""
    asked = (
        (config.namespace is None and any(isinstance(one, Tap) for one in config.interfaces), "a tap device of the host's"),
        (len(config.interfaces) > 1, "more than one network"),
        (config.mmds is not None, "MMDS, Firecracker's metadata service"),
        (config.vsock is not None, "a vsock device with a Unix socket"),
        (config.cpu_template is not None, "a CPU template"),
        (config.smt, "SMT"),
        (config.metrics is not None or config.log.path is not None, "a file for the VMM's log or metrics"),
        (any(drive.partuuid is not None for drive in config.drives), "a root partition by its UUID"),
        (not config.console, "no console"),
        (not config.entropy, "no entropy device"),
    )
    for is_asked, what in asked:
        if is_asked:
            raise UsageError(f"QEMU cannot do this here: {what}", hint="use --vmm firecracker, or leave it out")


def network_of(config: MachineConfig) -> Interface | None:
    """The machine's network; None where it has none."""
    return next(iter(config.interfaces), None)
