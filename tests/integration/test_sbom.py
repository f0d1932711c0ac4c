"""A bill of materials: right by CycloneDX's own schema, the same bytes again, and each part by a name that can be looked up."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import httptools
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from squib.app.building import Building
from squib.app.imaging import ImageOptions, plan_image, write_image
from squib.build import interpreter
from squib.build.kernels import Kernel
from squib.build.sbom import image_bill
from squib.errors import UnavailableError
from squib.host.appliances import find_appliance
from squib.model.appliance import Appliance
from squib.model.container import ContainerImage
from squib.model.image import FileRecord, InputRecord, KernelRecord
from squib.model.progress import Progress
from squib.model.reference import parse_reference
from squib.model.sbom import Ecosystem
from squib.wire.sbom import encode
from support import tool
from trees import distribution, own


@pytest.fixture(scope="module")
def image() -> ContainerImage:
    options = ImageOptions(parse_reference("registry.example:5000/example/clock:v1"), created=1_700_000_000)
    return plan_image(find_appliance("clock", Path("/")), options, lambda *_: None)


@pytest.fixture(scope="module")
def document(image: ContainerImage) -> bytes:
    return encode(image_bill(image))


def test_it_keeps_to_the_schema_and_is_the_same_again(image: ContainerImage, document: bytes) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(document.decode()) is None
    assert encode(image_bill(image)) == document


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


SHOP = "import kettle, plain_module\nanswer = print\n"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Appliance:
    """An appliance with a distribution that is not called as its module, and a module of no distribution."""
    packages, brought = tmp_path / "packages", tmp_path / "brought"
    brought.mkdir()
    (brought / "httptools").symlink_to(Path(httptools.__file__).parent)
    distribution(packages, "Py_Kettle", "6.0.1", {"kettle/__init__.py": "", "python_pot.py": ""})
    (packages / "plain_module.py").write_text("")
    found = replace(interpreter.running(), search_path=(packages, brought))
    monkeypatch.setattr(interpreter, "running", lambda: found)
    return own(tmp_path / "shop", SHOP)


def urls(document: bytes) -> dict[str, str]:
    """The package URL of each component, by the file that it is about."""
    return {part["properties"][0]["value"]: part["purl"] for part in json.loads(document)["components"]}


def test_distributions_have_their_own_names(shop: Appliance) -> None:
    made = plan_image(shop, ImageOptions(parse_reference("shop")), lambda *_: None)
    found = urls(encode(image_bill(made)))
    assert found["Py_Kettle"] == "pkg:pypi/py-kettle@6.0.1"
    assert found["plain_module"] == "pkg:generic/plain_module"
    assert found["python"].startswith(("pkg:deb/", f"pkg:generic/cpython@{platform.python_version()}"))
    assert {part.cpe for part in image_bill(made).parts if part.file == "python"} == {
        f"cpe:2.3:a:python:python:{platform.python_version()}:*:*:*:*:*:*:*"
    }


class FixedKernel:
    """A kernel out of a file, or of a package."""

    def __init__(self, folder: Path, *inputs: InputRecord) -> None:
        vmlinux = folder / "vmlinux"
        vmlinux.write_bytes(b"a kernel")
        record = FileRecord("vmlinux", 8, hashlib.sha256(b"a kernel").hexdigest())
        self.kernel = Kernel(vmlinux, record, KernelRecord("6.1.9-shop", "a test", 16), (), inputs, needs_initrd=False)

    def obtain(self, progress: Progress) -> Kernel:
        return self.kernel


@pytest.mark.tool
def test_what_a_machine_boots_has_a_bill_too(shop: Appliance, tmp_path: Path) -> None:
    tool("mke2fs")
    building = Building(FixedKernel(tmp_path), tmp_path / "cache")
    bills = [tmp_path / turn / "shop.json" for turn in ("one", "two")]
    artifact, _ = (building.build(shop, bill.parent, lambda *_: None, bill, 1_700_000_000) for bill in bills)
    documents = [bill.read_bytes() for bill in bills]
    assert documents[0] == documents[1]
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(documents[0].decode()) is None
    value = json.loads(documents[0])
    assert value["metadata"]["timestamp"].startswith("2023-11-14T22:13:20")
    about = value["metadata"]["component"]
    assert {file["name"]: file["hashes"][0]["content"] for file in about["components"]} == {
        file.name: file.sha256 for file in artifact.manifest.files
    }
    found = urls(documents[0])
    assert found["Py_Kettle"] == "pkg:pypi/py-kettle@6.0.1"
    assert found["vmlinux"] == "pkg:generic/linux@6.1.9"
    assert not {"mke2fs", "debugfs"} & set(found)  # they made it, and are not in it


@pytest.mark.tool
def test_a_packaged_kernel_is_named_as_its_package(shop: Appliance, tmp_path: Path) -> None:
    tool("dpkg-query")
    tool("mke2fs")
    package = InputRecord("linux-image-6.1.0-9-cloud-amd64", "6.1.27-1", "a" * 64)
    building = Building(FixedKernel(tmp_path, package, InputRecord("cc1", "12", "b" * 64)), tmp_path / "cache")
    building.build(shop, tmp_path / "build", lambda *_: None, tmp_path / "shop.json")
    found = urls((tmp_path / "shop.json").read_bytes())
    assert found["linux-image-6.1.0-9-cloud-amd64"].endswith("/linux-image-6.1.0-9-cloud-amd64@6.1.27-1")
    assert not {"cc1", "vmlinux"} & set(found)


@pytest.mark.tool
def test_debian_s_packages_are_named_as_dpkg_does(image: ContainerImage) -> None:
    tool("dpkg-query")
    parts = {part.file: part for part in image_bill(image).parts}
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
