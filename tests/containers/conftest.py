"""One build, one network and one start of each engine for all tests here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import engines
from engines import REFERENCE, Engine, Network
from support import missing, tool


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A short path (a socket's has at most 107 bytes) that every user may enter."""
    made = Path(tempfile.mkdtemp(prefix="squib-containers-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    if os.geteuid() != 0:
        missing("needs root")
    with engines.network() as made:
        yield made


def make_image(folder: Path, *arguments: str) -> Path:
    """The file of one `squib image`."""
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    subprocess.run([sys.executable, "-m", "squib", "image", *arguments, "--quiet"], cwd=folder, env=environment, check=True)
    return folder / arguments[-1]


@pytest.fixture(scope="session")
def image_file(folder: Path) -> Path:
    """The clock as a container image."""
    return make_image(folder, "clock", "-t", REFERENCE, "-o", "clock.tar")


@pytest.fixture(scope="session")
def tutorials_file(folder: Path) -> Path:
    """The clock as the tutorial makes it: with the name that it has by itself."""
    return make_image(folder, "clock", "-o", "named-clock.tar")


SHOP = """
import json
from squib.guest.handler import Response

def answer(request):
    return Response(json.dumps({"greeting": request.keys["greeting"], "target": request.target}).encode())
"""


@pytest.fixture(scope="session")
def shop_file(folder: Path) -> Path:
    """An appliance of a user's own, with a key."""
    (folder / "shop").mkdir()
    (folder / "shop/shop.py").write_text(SHOP)
    (folder / "shop/appliance.toml").write_text(
        'name = "shop"\nserve = "shop:answer"\n[keys.greeting]\ntype = "string"\ndefault = "hello"\n'
    )
    return make_image(folder, "shop", "-o", "shop.tar")


@pytest.fixture(scope="session")
def docker(folder: Path, network: Network) -> Iterator[Engine]:
    """A Docker Engine of its own."""
    tool("dockerd")
    own = folder / "docker"
    own.mkdir()
    with engines.docker(own, network) as engine:
        yield engine


@pytest.fixture(scope="session")
def registry(folder: Path, network: Network) -> Iterator[str]:
    """A registry that everybody may push to; its address."""
    own = folder / "registry"
    own.mkdir()
    with engines.registry(own, network) as address:
        yield address


@pytest.fixture(scope="session", params=["root", "rootless"])
def podman(request: pytest.FixtureRequest, folder: Path, network: Network) -> Iterator[Engine]:
    """Podman, as root and as nobody."""
    tool("podman")
    own = folder / f"podman-{request.param}"
    own.mkdir()
    engine = engines.podman(own, network, rootless=request.param == "rootless")
    yield engine
    engines.end_all(engine)
    shutil.rmtree(own, ignore_errors=True)
