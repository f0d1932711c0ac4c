"""The image read by skopeo and umoci: both of its forms, to a folder and back, and unpacked by a plain user."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import tool

pytestmark = pytest.mark.tool


def skopeo(*arguments: str) -> str:
    done = subprocess.run([tool("skopeo"), *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def digest(image_file: Path) -> str:
    with tarfile.open(image_file) as tar:
        index = json.load(tar.extractfile("index.json"))  # type: ignore[arg-type]
    return str(index["manifests"][0]["digest"])


def test_both_forms_are_the_same_image(image_file: Path) -> None:
    oci, docker = (f"{form}:{image_file}" for form in ("oci-archive", "docker-archive"))
    assert json.loads(skopeo("inspect", oci))["Digest"] == digest(image_file)
    configs = [json.loads(skopeo("inspect", "--config", form)) for form in (oci, docker)]
    assert configs[0] == configs[1]
    assert configs[0]["created"] == "1970-01-01T00:00:00Z"
    assert configs[0]["architecture"] in {"amd64", "arm64"}
    assert "sha256:" + hashlib.sha256(skopeo("inspect", "--raw", oci).encode()).hexdigest() == digest(image_file)


def test_to_a_folder_and_back(image_file: Path, tmp_path: Path) -> None:
    skopeo("--insecure-policy", "copy", "-q", f"oci-archive:{image_file}", f"dir:{tmp_path}/dir")
    skopeo("--insecure-policy", "copy", "-q", f"dir:{tmp_path}/dir", f"oci:{tmp_path}/back:latest")
    index = json.loads((tmp_path / "back/index.json").read_bytes())
    assert [entry["digest"] for entry in index["manifests"]] == [digest(image_file)]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """One that other users find too. The folders of pytest do not stay open: each pytest that starts closes the one above them."""
    with tempfile.TemporaryDirectory(prefix="squib-open-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.root
def test_a_plain_user_unpacks_it_with_umoci(image_file: Path, open_folder: Path) -> None:
    layout = open_folder / "layout"
    layout.mkdir()
    subprocess.run([tool("tar"), "-xf", str(image_file), "-C", str(layout)], check=True)
    out = open_folder / "out"
    out.mkdir()
    os.chown(out, 65534, 65534)
    plain = [tool("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    subprocess.run(
        [*plain, tool("umoci"), "unpack", "--rootless", "--image", f"{layout}:latest", str(out / "bundle")],
        env={"PATH": os.environ["PATH"], "HOME": str(out)}, capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    root = out / "bundle/rootfs"
    assert (root / "bin/server").read_bytes().startswith(b"#!/usr/bin/python3 -IS\n")
    assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777
    process = json.loads((out / "bundle/config.json").read_bytes())["process"]
    assert process["args"] == ["/bin/server", "--port", "8080"]
    # And it runs where it lies, with nothing else around it.
    done = subprocess.run(
        [tool("chroot"), root, *process["args"][:1], "--help=plain"], capture_output=True, text=True, check=False
    )
    assert "clock - answers every request" in done.stdout, done.stderr
