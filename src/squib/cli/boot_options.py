"""The options that verbs which boot an appliance have in common, each said once."""

from __future__ import annotations

from pathlib import Path

import click

from squib.cli.completing import complete_appliance, complete_kernel
from squib.cli.whole import Whole

__all__ = [
    "accel_option",
    "appliance_arguments",
    "kernel_option",
    "modules_option",
    "vcpus_option",
]

appliance_arguments = click.argument(
    "arguments",
    nargs=-1,
    type=click.UNPROCESSED,
    metavar="[APPLIANCE | DIR] [--KEY VALUE]...",
    shell_complete=complete_appliance,
)

accel_option = click.option(
    "--accel",
    type=click.Choice(["auto", "kvm", "tcg"]),
    default="auto",
    show_default=True,
    help="KVM where it is shown to work, else emulation.",
)

vcpus_option = click.option("--vcpus", type=Whole(1, 32), metavar="N", help="The guest's processors.")

kernel_option = click.option(
    "--kernel",
    metavar="PATH|tuned",
    shell_complete=complete_kernel,
    help="A vmlinux or bzImage, or the kernel of `squib kernel build`, instead of the distribution's package.",
)

modules_option = click.option(
    "--modules", type=click.Path(path_type=Path), metavar="DIR", help="Modules of that kernel (lib/modules/RELEASE)."
)
