"""The options that verbs which boot an appliance have in common, each said once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from squib.cli.commands import own_options
from squib.cli.completing import complete_appliance, complete_kernel
from squib.cli.key_words import KeyWords, key_pairs
from squib.cli.param_types import OneOf, Whole
from squib.model.appliance import Appliance
from squib.model.keys import key_values
from squib.model.units import MAX_VCPU_COUNT

if TYPE_CHECKING:
    from squib.model.image import Artifact
    from squib.model.run import RunSpec

__all__ = [
    "accel_option",
    "appliance_arguments",
    "appliance_of",
    "kernel_option",
    "modules_option",
    "vcpus_option",
    "with_keys",
]


def appliance_of(chosen: Artifact | Appliance) -> Appliance:
    """The appliance in what `[APPLIANCE | DIR]` names."""
    return chosen if isinstance(chosen, Appliance) else chosen.manifest.appliance


def with_keys(spec: RunSpec, chosen: Artifact | Appliance, words: KeyWords) -> RunSpec:
    """`spec` with the keys that `words` set, by the command that is being run. Raises UsageError: unknown, or a wrong value."""
    appliance = appliance_of(chosen)
    pairs = key_pairs(appliance, words.options, own_options())
    key_values(appliance, pairs)
    return replace(spec, values=pairs)


appliance_arguments = click.argument(
    "arguments",
    nargs=-1,
    type=click.UNPROCESSED,
    metavar="[APPLIANCE | DIR] [--KEY VALUE]...",
    shell_complete=complete_appliance,
)

accel_option = click.option(
    "--accel",
    type=OneOf(["auto", "kvm", "tcg"]),
    default="auto",
    show_default=True,
    help="auto is KVM where a trial shows that it works, and emulation (tcg) otherwise.",
)

vcpus_option = click.option(
    "--vcpus", type=Whole(1, MAX_VCPU_COUNT), metavar="N", help=f"The guest's processors, 1 to {MAX_VCPU_COUNT}."
)

kernel_option = click.option(
    "--kernel",
    metavar="PATH|tuned",
    shell_complete=complete_kernel,
    help="A vmlinux or bzImage, or the kernel that squib kernel build made. Default: the distribution's.",
)

modules_option = click.option(
    "--modules", type=click.Path(path_type=Path), metavar="DIR", help="Modules of that kernel (lib/modules/RELEASE)."
)
