"""`squib image`: an appliance as a container image in one file, or what would be in it."""

from __future__ import annotations

import os
from pathlib import Path

import click

from squib.app.imaging import ImageOptions
from squib.cli.commands import Command
from squib.cli.completing import complete_appliance
from squib.cli.escaping import json_safe
from squib.cli.json_output import print_json
from squib.cli.param_types import OneOf
from squib.cli.progress import progress
from squib.cli.table import print_table
from squib.errors import UsageError
from squib.host.appliances import find_appliance
from squib.host.files import working_folder
from squib.model.appliance import Appliance
from squib.model.container import Compression, ContainerImage
from squib.model.reference import parse_reference
from squib.model.units import format_bytes
from squib.wiring import house

__all__ = ["image", "image_json", "image_options"]

_EPOCH_VARIABLE = "SOURCE_DATE_EPOCH"
_MAX_EPOCH = 253402300799
"""The last second of the year 9999: RFC 3339 has four digits for a year."""


@click.command(cls=Command)
@click.argument("appliance", required=False, shell_complete=complete_appliance)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE.tar", help="Where the image goes. Default: NAME.tar."
)
@click.option("-t", "--tag", "reference", metavar="REF", help="The image's name, as in example/clock. Default: NAME.")
@click.option(
    "--compress",
    "compression",
    type=OneOf([one.value for one in Compression]),
    default=Compression.GZIP.value,
    show_default=True,
    help="How layers are compressed. Docker 20.10 reads gzip only.",
)
@click.option(
    "--sbom",
    "bill",
    type=click.Path(path_type=Path),
    metavar="FILE.json",
    help="Write a bill of materials as well (CycloneDX).",
)
@click.option(
    "--show", type=OneOf(["layers", "config", "manifest"]), help="Print what would be in the image, and write nothing."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def image(
    appliance: str | None,
    output: Path | None,
    reference: str | None,
    compression: str,
    bill: Path | None,
    show: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Make a container image, as one file that docker, podman and skopeo load.

    APPLIANCE is as for squib build. The file is at once an OCI layout and an archive for docker load. The same inputs give the
    same bytes; the image is as old as SOURCE_DATE_EPOCH says, else of 1970. No Docker, no root, no network.
    """
    chosen = find_appliance(appliance, working_folder())
    options = image_options(chosen, reference, compression)
    if bill is not None and show is not None:
        raise UsageError("--show writes nothing, so no bill of materials either", hint="leave out --show or --sbom")
    path = Path(f"{chosen.name}.tar") if output is None else output
    with progress(quiet=quiet or as_json) as report:
        squib = house()
        made = squib.plan_image(chosen, options, report) if show else squib.image(chosen, options, path, report, bill)
    if show in {"config", "manifest"}:
        print(json_safe((made.config_json if show == "config" else made.manifest_json).decode()))
    elif as_json:
        print_json(image_json(made, None if show else path))
    elif not quiet:
        _show_layers(made)
        if not show:
            print(f"\n{path} holds {made.reference.familiar}, {made.descriptor.digest}\nGo on with: docker load -i {path}")


def image_options(appliance: Appliance, reference: str | None, compression: str = Compression.GZIP) -> ImageOptions:
    """What the command line and the environment say. Raises UsageError."""
    return ImageOptions(
        parse_reference(appliance.name if reference is None else reference), _created(), Compression(compression)
    )


def _created() -> int:
    """SOURCE_DATE_EPOCH (reproducible-builds.org/specs/source-date-epoch), else 0."""
    text = os.environ.get(_EPOCH_VARIABLE) or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 13 and int(text) <= _MAX_EPOCH):
        raise UsageError(
            f"{_EPOCH_VARIABLE}={text!r} is no time",
            hint=f"seconds since 1970, as in {_EPOCH_VARIABLE}=$(git log -1 --format=%ct)",
        )
    return int(text)


def _show_layers(made: ContainerImage) -> None:
    """The layers with their sizes, and the sum."""
    rows = [
        (
            packed.layer.name,
            format_bytes(packed.layer.tree.total_bytes),
            format_bytes(packed.descriptor.size),
            packed.descriptor.digest[7:23],
            packed.layer.why,
        )
        for packed in made.layers
    ]
    total = sum(packed.layer.tree.total_bytes for packed in made.layers)
    rows.append(("total", format_bytes(total), format_bytes(made.compressed_size), "", ""))
    print_table(("LAYER", "FILES", "COMPRESSED", "SHA256", "WHAT"), rows)


def image_json(made: ContainerImage, path: Path | None) -> dict[str, object]:
    """What docs/json.md says of an image."""
    return {
        "file": None if path is None else str(path),
        "reference": made.reference.familiar,
        "digest": made.descriptor.digest,
        "config_digest": made.config_descriptor.digest,
        "architecture": made.config.architecture,
        "compressed_bytes": made.compressed_size,
        "layers": [
            {
                "name": packed.layer.name,
                "digest": packed.descriptor.digest,
                "diff_id": packed.diff_id,
                "media_type": packed.descriptor.media_type,
                "compressed_bytes": packed.descriptor.size,
                "file_bytes": packed.layer.tree.total_bytes,
                "entries": len(packed.layer.tree.entries),
            }
            for packed in made.layers
        ],
    }
