"""From an appliance to its container image, as a file. No kernel, no Docker, no root and no network are needed."""

from __future__ import annotations

from pathlib import Path

from squib.build.image import ImageOptions, archive, plan_image
from squib.host.files import write_atomic
from squib.model.appliance import Appliance
from squib.model.container import ContainerImage
from squib.model.progress import Progress

__all__ = ["ImageOptions", "plan_image", "write_image"]


def write_image(
    appliance: Appliance, options: ImageOptions, output: Path, report: Progress, bill: Path | None = None
) -> ContainerImage:
    """The image in the file `output`, and its bill of materials in `bill`: each whole or as it was. Raises SquibError."""
    if bill is not None:
        from squib.wire import sbom

        sbom.require()
    image = plan_image(appliance, options, report)
    parts = b"" if bill is None else _bill(image, report)
    report(f"writing {output.name}", None)
    write_atomic(output, archive(image), 0o600 if image.closed else 0o644)
    if bill is not None:
        write_atomic(bill, parts)
    return image


def _bill(image: ContainerImage, report: Progress) -> bytes:
    from squib.build.sbom import image_bill
    from squib.wire.sbom import encode

    report("asking whose the files are", None)
    return encode(image_bill(image))
