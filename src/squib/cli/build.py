"""`squib build`: the four files of an appliance, or what would be in them."""

from __future__ import annotations

from pathlib import Path

import click

from squib.cli.completing import complete_appliance
from squib.cli.progress import progress
from squib.cli.show_tree import show_tree
from squib.cli.table import print_table
from squib.host.appliances import find_appliance
from squib.host.files import working_folder
from squib.model.image import MANIFEST, Artifact
from squib.model.units import format_bytes
from squib.wiring import house

__all__ = ["build"]


@click.command()
@click.argument("appliance", required=False, shell_complete=complete_appliance)
@click.option(
    "-o",
    "--output",
    "output",
    type=click.Path(path_type=Path),
    default=Path("build"),
    show_default=True,
    metavar="DIR",
    help="Where the files go.",
)
@click.option(
    "--kernel",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="A vmlinux or bzImage, instead of the distribution's package.",
)
@click.option("--modules", type=click.Path(path_type=Path), metavar="DIR", help="Modules of that kernel (lib/modules/RELEASE).")
@click.option("--refresh", is_flag=True, help="Ask the distribution for a newer kernel than the cached one.")
@click.option("--show", type=click.Choice(["tree"]), help="Print what would be in the image and why, and write nothing.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def build(
    appliance: str | None, output: Path, kernel: Path | None, modules: Path | None, refresh: bool, show: str | None, quiet: bool
) -> None:
    """Make rootfs.ext4, initrd.img, vmlinux and manifest.json.

    APPLIANCE is a folder, a file, or the name of a packaged one. Without it: ./appliance.toml, else [tool.squib] in
    ./pyproject.toml, else the clock. Any user can build: no root, no Docker; no network once the kernel is cached. The
    same inputs give the same bytes.
    """
    chosen = find_appliance(appliance, working_folder())
    squib = house(kernel=kernel, modules=modules, refresh=refresh)
    if show is not None:
        with progress(quiet=quiet) as report:
            plan = squib.plan_build(chosen, report)
        show_tree(plan.rootfs, plan.initrd)
        return
    with progress(quiet=quiet) as report:
        artifact = squib.build(chosen, output, report)
    if not quiet:
        _summary(artifact)


def _summary(artifact: Artifact) -> None:
    rows = [(str(artifact.folder / file.name), format_bytes(file.size), file.sha256[:16]) for file in artifact.manifest.files]
    print_table(("FILE", "SIZE", "SHA256"), rows)
    print(f"\nEvery file and every input, with its whole digest: {artifact.folder / MANIFEST}")
