"""`squib push` to a real registry: the digest is kept, docker's credentials are used, and what breaks fails clean."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import engines
from engines import ADDRESS, REFERENCE, Done, Engine, Network
from support import tool

pytestmark = [pytest.mark.root, pytest.mark.tool]

USER, PASSWORD = "ali", "open sesame"
BCRYPT = "$2b$04$g/gKZN59rPH533Xlih7U8.yu5abngqFXTJD.1ERgJVuOPbq3Qzw3O"


@pytest.fixture
def push(network: Network, folder: Path, tmp_path: Path) -> Iterator[Engine]:
    """`squib push` in the registry's network, with a home of its own; it leaves nothing in its cache."""
    tool("skopeo")
    prefix = tuple(network.enter(sys.executable, "-m", "squib", "push"))
    yield Engine(network, tmp_path, prefix, {"XDG_CACHE_HOME": str(folder / "cache")})
    assert not list((folder / "cache/squib/push").glob("*"))


def skopeo(network: Network, *arguments: str) -> Done:
    command = network.enter(tool("skopeo"), *arguments)
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def digest_there(network: Network, reference: str) -> str:
    done = skopeo(network, "inspect", "--tls-verify=false", "--format", "{{.Digest}}", f"docker://{reference}")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_digest_is_kept_all_the_way(registry: str, push: Engine, docker: Engine, podman: Engine, image_file: Path) -> None:
    reference = f"{registry}/{REFERENCE}:v1"
    said = json.loads(push.ok(reference, "clock", "--json"))
    assert said["reference"] == reference
    assert digest_there(push.network, reference) == said["digest"]
    # The file is the same image; a name does not change it.
    again = json.loads(push.ok(f"{registry}/{REFERENCE}:v2", "--image", str(image_file), "--json"))
    assert again["digest"] == said["digest"] == digest_there(push.network, f"{registry}/{REFERENCE}:v2")
    assert f"Digest: {said['digest']}" in docker.ok("pull", reference)
    podman.ok("pull", reference)
    assert said["digest"] in podman.ok("image", "inspect", "--format", "{{.Digest}}", reference)


def test_without_tls_only_where_it_was_asked_for(registry: str, push: Engine) -> None:
    reference = f"{ADDRESS}:{registry.partition(':')[2]}/{REFERENCE}"
    done = push.run(reference, "clock")
    assert (done.returncode, "--insecure" in done.stderr) == (69, True), done.stderr
    push.ok(reference, "clock", "--insecure", "--quiet")


def test_the_user_s_docker_credentials(network: Network, folder: Path, push: Engine, tmp_path: Path) -> None:
    own = folder / "private"
    own.mkdir()
    (own / "users").write_text(f"{USER}:{BCRYPT}\n")
    with engines.registry(own, network, 5001, users=own / "users") as address:
        reference = f"{address}/{REFERENCE}"
        done = push.run(reference, "clock")
        assert done.returncode == 77, done.stderr
        assert f"try: docker login {address}" in done.stderr
        for home, place in (
            (tmp_path / ".docker", {}),
            (tmp_path / "elsewhere", {"DOCKER_CONFIG": str(tmp_path / "elsewhere")}),
        ):
            home.mkdir()
            secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            (home / "config.json").write_text(json.dumps({"auths": {address: {"auth": secret}}}))
            Engine(network, tmp_path, push.prefix, push.env | place).ok(reference, "clock")
            (home / "config.json").unlink()


def test_a_registry_that_is_not_there(push: Engine) -> None:
    done = push.run(f"127.0.0.1:1/{REFERENCE}", "clock")
    assert done.returncode == 69, done.stderr
    assert "127.0.0.1:1 does not answer" in done.stderr


def test_a_registry_whose_disk_is_full(network: Network, folder: Path, push: Engine) -> None:
    own = folder / "small"
    own.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", own], check=True)
    try:
        with engines.registry(own, network, 5002) as address:
            done = push.run(f"{address}/{REFERENCE}", "clock")
            assert done.returncode == 71, done.stderr
            assert "could not be pushed; its tag is as it was" in done.stderr
            assert skopeo(network, "inspect", "--tls-verify=false", f"docker://{address}/{REFERENCE}").returncode != 0
    finally:
        subprocess.run(["umount", own], check=True)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["127.0.0.1:5000/X"], 64, "write it in lower case"),
        (["a", "clock", "--image", "x.tar"], 64, "are two images"),
        (["a", "--image", "nowhere.tar"], 66, "nowhere.tar is not there"),
        (["a", "--image", "text"], 65, "text is no image that squib made"),
        ([], 64, "REF is missing"),
    ],
)
def test_bad_input(push: Engine, tmp_path: Path, arguments: list[str], status: int, said: str) -> None:
    (tmp_path / "text").write_text("text")
    done = push.run(*arguments)
    assert (done.returncode, said in done.stderr) == (status, True), done.stderr
    assert "Traceback" not in done.stderr
