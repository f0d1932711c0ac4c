"""The image under a real Podman, as root and rootless."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines import REFERENCE, Engine, Network

pytestmark = [pytest.mark.root, pytest.mark.tool]


def test_load_run_ask_stop(podman: Engine, image_file: Path) -> None:
    assert f"docker.io/{REFERENCE}:latest" in podman.ok("load", "--input", str(image_file))
    with podman.container("--network=none", "--read-only", "--cap-drop=all", REFERENCE, name="one"):
        pid = int(podman.ok("inspect", "--format", "{{.State.Pid}}", "one"))
        inside = Engine(Network(pid), podman.folder, ())
        assert '"time"' in inside.probe("http://127.0.0.1:8080", 2)
        uid = next(line.split()[1] for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("Uid:"))
        # 65532 of the container; rootless, that is a subordinate id.
        assert int(uid) == 65532 or int(uid) >= 100000
        assert podman.stop("one") == 0
        assert "listening on 8080/TCP" in podman.logs("one")
