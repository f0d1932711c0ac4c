"""`squib push`: an appliance as a container image into a registry."""

from __future__ import annotations

from pathlib import Path

import click

from squib.cli.commands import Command
from squib.cli.completing import complete_appliance
from squib.cli.image import image_options
from squib.cli.json_output import print_json
from squib.cli.progress import progress
from squib.errors import UsageError
from squib.host.appliances import find_appliance
from squib.host.files import working_folder
from squib.model.reference import parse_reference
from squib.wiring import house

__all__ = ["push"]


@click.command(cls=Command)
@click.argument("reference", metavar="REF")
@click.argument("appliance", required=False, shell_complete=complete_appliance)
@click.option(
    "--image",
    "image_file",
    type=click.Path(path_type=Path),
    metavar="FILE.tar",
    help="Push this file, which squib image made, instead of an appliance.",
)
@click.option("--insecure", is_flag=True, help="Plain HTTP or an unknown certificate will do (on loopback it always does).")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def push(reference: str, appliance: str | None, image_file: Path | None, insecure: bool, as_json: bool, quiet: bool) -> None:
    """Send a container image to a registry.

    REF names registry, path and tag, as in ghcr.io/example/clock:v1. The image is APPLIANCE's, as for squib image, and
    keeps its digest. It is sent by skopeo, with the credentials of docker login or podman login. If that fails, the tag
    stays as it was.
    """
    named = parse_reference(reference)
    squib = house()
    with progress(quiet=quiet or as_json) as report:
        if image_file is None:
            chosen = find_appliance(appliance, working_folder())
            digest = squib.push(chosen, image_options(chosen, reference), report, insecure=insecure)
        elif appliance is None:
            digest = squib.push_file(image_file, named, report, insecure=insecure)
        else:
            raise UsageError("an appliance and --image are two images", hint="leave one of them out")
    if as_json:
        print_json({"reference": named.full, "digest": digest})
    elif not quiet:
        print(f"{named.full}@{digest}")
