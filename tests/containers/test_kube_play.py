"""`squib deploy kubernetes`, run by Podman, which knows enough of Kubernetes for that: all but probes and the Service.

Podman turns an HTTP probe into a curl inside the container, and there is none: so it is played without them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from engines import REFERENCE, Engine

pytestmark = [pytest.mark.root, pytest.mark.tool]


def test_the_deployment_runs(podman: Engine, registry: str, image_file: Path, tmp_path: Path) -> None:
    reference = f"{registry}/{REFERENCE}:kube"
    squib = [sys.executable, "-m", "squib"]
    pushed = podman.network.enter(*squib, "push", reference, "--image", str(image_file), "--quiet")
    subprocess.run(pushed, env=os.environ | {"XDG_CACHE_HOME": str(tmp_path)}, check=True)
    written = subprocess.run(
        [*squib, "deploy", "kubernetes", "clock", "--image", reference, "--set", "port=8090"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    documents = list(yaml.safe_load_all(written))
    (container,) = documents[0]["spec"]["template"]["spec"]["containers"]
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        del container[probe]
    del container["ports"]  # they tell, and open nothing; with the network of the host Podman refuses them
    if podman.folder.name.endswith("rootless"):
        del container["resources"]  # cgroups of version 1 are root's alone
    file = podman.folder / "kube.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    file.chmod(0o644)
    try:
        podman.ok("kube", "play", "--network=host", str(file))
        assert '"time"' in podman.probe("http://127.0.0.1:8090")
        name = next(line for line in podman.ok("ps", "--format", "{{.Names}}").splitlines() if line.endswith("-clock"))
        host = podman.ok("inspect", "--format", "{{.HostConfig.ReadonlyRootfs}} {{.Config.User}} {{.EffectiveCaps}}", name)
        assert host.split()[0] == "true"
        assert host.split()[1].startswith("65532")
        assert host.split()[2] == "[]"
        assert "listening on 8090/TCP" in podman.logs(name)
    finally:
        podman.run("kube", "down", str(file))
    assert podman.ok("ps", "--quiet", "--filter", "name=clock") == ""
