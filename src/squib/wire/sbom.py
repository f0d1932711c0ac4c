"""A bill of materials in CycloneDX 1.6 (ECMA-424), by that standard's own library. Equal bills are equal bytes."""

from __future__ import annotations

import hashlib
import importlib.util
import shlex
import sys
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from squib import __version__
from squib.errors import UnavailableError
from squib.model.container import ContainerImage
from squib.model.sbom import Bill, MachineImage, Part

if TYPE_CHECKING:
    from cyclonedx.model.component import Component

__all__ = ["PACKAGE", "encode", "install_command", "require"]

PACKAGE, _LEAST = "cyclonedx-python-lib", "11"
"""The library, and its first version that is known to do (pyproject.toml, the extra `sbom`)."""

_NAMESPACE = uuid.UUID("6f2a1a86-5c5b-5d0e-9c6e-737175696200")
_SOURCE_PROPERTY = "squib:source-file"
_DIGEST_PROPERTY = "squib:source-sha256"


def install_command() -> str:
    """What installs the library for the Python that runs squib, wherever squib itself came from."""
    return f"{shlex.quote(sys.executable)} -m pip install '{PACKAGE}>={_LEAST}'"


def require() -> None:
    """Raises UnavailableError where the library is not installed."""
    if importlib.util.find_spec("cyclonedx") is None:
        raise UnavailableError(f"a bill of materials needs the Python package {PACKAGE}", hint=install_command())


def encode(bill: Bill) -> bytes:
    """The JSON document. Raises UnavailableError where the library is not installed."""
    require()
    from cyclonedx.model.bom import Bom
    from cyclonedx.output.json import JsonV1Dot6

    image = bill.image
    about = _container(image) if isinstance(image, ContainerImage) else _machine(image)
    bom = Bom(
        components=[_component(part) for part in bill.parts], serial_number=uuid.uuid5(_NAMESPACE, str(about.bom_ref.value))
    )
    bom.metadata.timestamp = datetime.fromtimestamp(image.created, UTC)
    bom.metadata.component = about
    bom.metadata.tools.components.add(_tool())
    bom.register_dependency(about, bom.components)
    return JsonV1Dot6(bom).output_as_string(indent=2).encode() + b"\n"


def _container(image: ContainerImage) -> Component:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    repository = image.reference.full.removesuffix(f":{image.reference.tag}")
    qualifiers = {"arch": image.config.architecture, "repository_url": repository, "tag": image.reference.tag}
    digest = image.descriptor.digest
    return Component(
        name=image.reference.familiar.removesuffix(f":{image.reference.tag}"),
        version=image.reference.tag,
        type=ComponentType.CONTAINER,
        bom_ref=digest,
        purl=PackageURL("oci", None, repository.rpartition("/")[2], digest, qualifiers),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest.removeprefix("sha256:"))],
    )


def _machine(image: MachineImage) -> Component:
    """The files together; each is a component of it, by its digest."""
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType

    files = [
        Component(
            name=name,
            type=ComponentType.FILE,
            bom_ref=f"image-file:{name}:{sha256}",  # a reference twice is replaced by a random one
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)],
        )
        for name, sha256 in image.files
    ]
    digest = hashlib.sha256("".join(f"{name}\0{sha256}\n" for name, sha256 in image.files).encode()).hexdigest()
    return Component(name=image.name, type=ComponentType.APPLICATION, bom_ref=f"machine:{digest}", components=files)


def _component(part: Part) -> Component:
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    qualifiers = {"arch": part.arch} if part.arch else {}
    url = PackageURL(part.ecosystem.value, part.namespace or None, part.name, part.version or None, qualifiers)
    return Component(
        name=part.name,
        version=part.version or None,
        type=ComponentType.APPLICATION if part.file in {"appliance", "python"} else ComponentType.LIBRARY,
        bom_ref=f"{part.file}:{part.sha256}",
        purl=url,
        cpe=part.cpe or None,
        properties=[Property(name=_SOURCE_PROPERTY, value=part.file), Property(name=_DIGEST_PROPERTY, value=part.sha256)],
    )


def _tool() -> Component:
    from cyclonedx.model.component import Component, ComponentType

    return Component(name="squib", version=__version__, type=ComponentType.APPLICATION, bom_ref="tool:squib")
