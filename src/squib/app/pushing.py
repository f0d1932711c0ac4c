"""From an appliance, or from an image's file, into a registry."""

from __future__ import annotations

import tarfile
from pathlib import Path

from squib.build.image import ImageOptions, archive, plan_image
from squib.errors import ApplianceError
from squib.host import registry
from squib.host.files import cache_home, staging, storage_errors
from squib.host.registry import ARCHIVE, push
from squib.model.appliance import Appliance
from squib.model.progress import Progress
from squib.model.reference import Reference
from squib.wire import oci as wire

__all__ = ["push_appliance", "push_file"]

_MAX_INDEX = 1 << 20


def push_appliance(appliance: Appliance, options: ImageOptions, report: Progress, *, insecure: bool) -> str:
    """Makes the image and pushes it to `options.reference`; its digest. Raises SquibError."""
    registry.find()
    image = plan_image(appliance, options, report)
    with staging(cache_home() / "push") as folder:
        with storage_errors(folder):
            (folder / ARCHIVE).write_bytes(archive(image))
        report(f"pushing {options.reference.full}", None)
        push(folder, options.reference, image.descriptor.digest, insecure=insecure)
    return image.descriptor.digest


def push_file(file: Path, reference: Reference, report: Progress, *, insecure: bool) -> str:
    """Pushes what `squib image` made; its digest. Raises SquibError."""
    digest = _digest(file)
    with staging(cache_home() / "push") as folder:
        with storage_errors(folder):
            (folder / ARCHIVE).symlink_to(file.resolve())
        report(f"pushing {reference.full}", None)
        push(folder, reference, digest, insecure=insecure)
    return digest


def _digest(file: Path) -> str:
    try:
        with storage_errors(file), tarfile.open(file, "r:") as tar:
            index = tar.extractfile("index.json")
            return wire.index_digest(b"" if index is None else index.read(_MAX_INDEX))
    except (tarfile.TarError, KeyError, ValueError) as error:
        raise ApplianceError(f"{file} is no image that squib made: {error}", hint=f"squib image -o {file}") from error
