"""`squib build`: the files of an appliance, or what would be in them."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from squib.cli.boot_options import kernel_option, modules_option
from squib.cli.commands import Command
from squib.cli.completing import complete_appliance
from squib.cli.drop import DropWish, drop_options, show_drop
from squib.cli.image import image_options
from squib.cli.param_types import OneOf
from squib.cli.progress import progress
from squib.cli.show_tree import show_tree
from squib.cli.table import print_table
from squib.errors import UsageError
from squib.host.appliances import find_appliance
from squib.host.files import working_folder
from squib.model.image import MANIFEST, Artifact
from squib.model.units import format_bytes
from squib.wiring import TUNED, house

__all__ = ["build"]


@click.command(cls=Command)
@click.argument("appliance", required=False, shell_complete=complete_appliance)
@click.option(
    "-o",
    "--output",
    "output",
    type=click.Path(path_type=Path),
    default=Path("build"),
    show_default=True,
    metavar="DIR",
    help="Where the files go; it is made, with those above it.",
)
@kernel_option
@modules_option
@click.option("--refresh", is_flag=True, help="Ask the distribution for a newer kernel than the cached one.")
@click.option("--show", type=OneOf(["tree"]), help="Print what would be in the image and why, and write nothing.")
@click.option(
    "--image",
    "image_file",
    type=click.Path(path_type=Path),
    metavar="FILE.tar",
    help="Make a container image as well (squib image).",
)
@click.option("-t", "--tag", "reference", metavar="REF", help="That image's name. Default: the appliance's.")
@click.option(
    "--sbom",
    "bill",
    type=click.Path(path_type=Path),
    metavar="FILE.json",
    help="Write a bill of materials as well (CycloneDX).",
)
@drop_options
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def build(
    appliance: str | None,
    output: Path,
    kernel: str | None,
    modules: Path | None,
    refresh: bool,
    show: str | None,
    image_file: Path | None,
    reference: str | None,
    bill: Path | None,
    drop: DropWish | None,
    quiet: bool,
) -> None:
    """Make rootfs.ext4, vmlinux, initrd.img (where the kernel needs one) and manifest.json.

    APPLIANCE is a folder, a file, or clock, which comes with squib. Without it, it is the appliance of the working folder:
    appliance.toml, or [tool.squib] in pyproject.toml. Any user can build: no root, no Docker; no network once the kernel is
    cached. The same inputs give the same bytes.
    """
    chosen = find_appliance(appliance, working_folder())
    if reference is not None and image_file is None:
        raise UsageError("-t names a container image, and none is asked for", hint="add --image FILE.tar")
    if drop is not None:
        _refuse_with_drop(show=show, image=image_file, sbom=bill)
        kernel = kernel or TUNED
    if bill is not None and show is not None:
        raise UsageError("--show writes nothing, so no bill of materials either", hint="leave out --show or --sbom")
    options = image_options(chosen, reference)
    squib = house(kernel=kernel, modules=modules, refresh=refresh)
    if show is not None:
        with progress(quiet=quiet) as report:
            plan = squib.plan_build(chosen, report)
        show_tree(plan.rootfs, plan.initrd)
        return
    if drop is not None:
        with progress(quiet=quiet) as report:
            left = squib.drop(chosen, drop.folder, drop.network, report)
        if not quiet:
            show_drop(left)
        return
    with progress(quiet=quiet) as report:
        artifact = squib.build(chosen, output, report, bill, options.created)
        image = None if image_file is None else squib.image(chosen, options, image_file, report)
    if not quiet:
        _summary(artifact)
        if image is not None:
            print(f"\n{image_file} holds {image.reference.familiar}, {image.descriptor.digest}")


def _refuse_with_drop(**others: object) -> None:
    given = click.get_current_context().get_parameter_source("output")
    names = ["-o"] if given is ParameterSource.COMMANDLINE else []
    names += [f"--{name}" for name, value in others.items() if value is not None]
    if names:
        raise UsageError(
            f"--drop DIR says where the drop goes, and makes nothing else: {names[0]} has no place there",
            hint=f"leave {names[0]} out; squib build makes other files in a run of its own",
        )


def _summary(artifact: Artifact) -> None:
    rows = [(str(artifact.folder / file.name), format_bytes(file.size), file.sha256[:16]) for file in artifact.manifest.files]
    print_table(("FILE", "SIZE", "SHA256"), rows)
    print(f"\nEvery file and every input, with its whole digest: {artifact.folder / MANIFEST}")
