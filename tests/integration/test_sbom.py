"""A bill of materials: right by CycloneDX's own schema, the same bytes again, and each part by a name that can be looked up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from squib.app.imaging import ImageOptions, plan_image, write_image
from squib.build.sbom import plan_bill
from squib.errors import UnavailableError
from squib.host.appliances import find_appliance
from squib.model.container import ContainerImage
from squib.model.reference import parse_reference
from squib.model.sbom import Ecosystem
from squib.wire.sbom import encode
from support import tool


@pytest.fixture(scope="module")
def image() -> ContainerImage:
    options = ImageOptions(parse_reference("registry.example:5000/example/clock:v1"), created=1_700_000_000)
    return plan_image(find_appliance("clock", Path("/")), options, lambda *_: None)


@pytest.fixture(scope="module")
def document(image: ContainerImage) -> bytes:
    return encode(plan_bill(image))


def test_it_keeps_to_the_schema_and_is_the_same_again(image: ContainerImage, document: bytes) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(document.decode()) is None
    assert encode(plan_bill(image)) == document


def test_it_is_about_that_image(image: ContainerImage, document: bytes) -> None:
    value = json.loads(document)
    about = value["metadata"]["component"]
    assert value["metadata"]["timestamp"].startswith("2023-11-14T22:13:20")
    assert (about["type"], about["name"], about["version"]) == (
        "container",
        "registry.example:5000/example/clock",
        "v1",
    )
    assert about["hashes"] == [{"alg": "SHA-256", "content": image.descriptor.digest[7:]}]
    assert about["purl"].startswith("pkg:oci/clock@sha256")
    files = [
        prop["value"] for part in value["components"] for prop in part["properties"] if prop["name"] == "squib:source-file"
    ]
    assert sorted(files) == sorted(record.name for record in image.inputs)


@pytest.mark.tool
def test_debian_s_packages_are_named_as_dpkg_does(image: ContainerImage) -> None:
    tool("dpkg-query")
    parts = {part.file: part for part in plan_bill(image).parts}
    libc = parts["libc.so.6"]
    assert libc.ecosystem is Ecosystem.DEBIAN
    version = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "libc6"], capture_output=True, text=True, check=True)
    assert (libc.name, libc.version) == ("libc6", version.stdout)
    assert parts[next(name for name in parts if name.startswith("ld-"))].name == "libc6"
    assert (parts["httptools"].ecosystem, parts["appliance"].ecosystem) == (Ecosystem.PYPI, Ecosystem.GENERIC)


def test_without_the_library_it_says_how_to_get_it_before_anything_is_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setitem(sys.modules, "cyclonedx", None)
    options = ImageOptions(parse_reference("clock"), created=0)
    with pytest.raises(UnavailableError) as caught:
        write_image(
            find_appliance("clock", Path("/")),
            options,
            tmp_path / "clock.tar",
            lambda step, _: told.append(step),
            tmp_path / "clock.json",
        )
    assert caught.value.hint.startswith(f"{sys.executable} -m pip install 'cyclonedx-python-lib>=")
    assert (told, list(tmp_path.iterdir())) == ([], [])
