"""The Dockerfile, built by a real Docker Engine on a base of Debian's own packages, with no network: both of its targets.

No image can be pulled here, so mmdebstrap makes the base; wheels, kernel and Firecracker, which the Dockerfile would fetch, lie in it.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from engines import Engine
from squib.build import tuned_kernels
from squib.host import files
from squib.model.progress import silent
from squib.wiring import fetch_firecracker, kernel_source
from support import PROJECT, missing, tool
from tuned import COMPILE_S, tuned_kernel

pytestmark = [pytest.mark.root, pytest.mark.tool, pytest.mark.timeout(600 + COMPILE_S)]

LONG_S = 400
BASE = """\
FROM squib-debian
COPY wheels /wheels
COPY kernels /var/cache/squib/kernels
COPY firecracker jailer /usr/local/bin/
ENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels
"""


def debian(archive: Path) -> None:
    """A root of this machine's release, from where this machine has its packages."""
    folder = Path("/etc/apt/sources.list.d")
    places = (folder / "debian.sources", folder / "ubuntu.sources", Path("/etc/apt/sources.list"))
    sources = [path for path in places if path.is_file()]
    if not sources:
        missing("apt's sources are in none of the usual files")
    subprocess.run(
        [
            *(tool("mmdebstrap"), "--quiet", "--variant=essential", "--include=ca-certificates,e2fsprogs,python3-venv"),
            *("--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/locale/*", "--dpkgopt=path-exclude=/usr/share/man/*"),
            *(platform.freedesktop_os_release()["VERSION_CODENAME"], str(archive), str(sources[0])),
        ],
        check=True, timeout=400,
    )  # fmt: skip


def copy_kernels(target: Path) -> None:
    """What squib's cache has of the distribution's kernel and the tuned one: records, and the files that they name by their digests."""
    kernel_source(None, None).obtain(silent)
    tuned_kernel()
    cached, current = files.cache_home() / "kernels", tuned_kernels.find(tuned_kernels.TUNED).name
    target.mkdir()
    for record in (cached / "package.json", cached / f"{current}.json", cached / f"{current}.config"):
        shutil.copy(record, target)
        for digest in set(re.findall(r"[0-9a-f]{64}", record.read_text())):
            if (cached / f"sha256-{digest}").is_file():
                shutil.copy(cached / f"sha256-{digest}", target)


@pytest.fixture(scope="module")
def base(docker: Engine, folder: Path) -> str:
    """The name of an image with all that the Dockerfile would fetch."""
    context = folder / "base"
    (context / "wheels").mkdir(parents=True)
    debian(folder / "debian.tar")
    docker.ok("import", str(folder / "debian.tar"), "squib-debian", timeout=LONG_S)
    copy_kernels(context / "kernels")
    for file in fetch_firecracker(None, silent).files:
        shutil.copy(file.path, context / file.path.name)
    subprocess.run(
        [
            # tools/setup makes .venv of the system's Python, which is the base's too.
            *(sys.executable, "-m", "pip", "download", "--quiet"),
            *("--disable-pip-version-check", "--require-hashes", "-r", str(PROJECT / "requirements/run.txt")),
            *("-d", str(context / "wheels")),
        ],
        check=True, timeout=300,
    )  # fmt: skip
    (context / "Dockerfile").write_text(BASE)
    docker.ok("build", "--tag", "squib-base", str(context), timeout=LONG_S)
    return "squib-base"


@pytest.fixture(scope="module")
def built(docker: Engine, base: str) -> Engine:
    for target in ("docker", "firecracker"):
        docker.ok(
            "build", "--network=none", "--build-arg", f"BASE={base}", "--target", target, "--tag", f"by-{target}", str(PROJECT)
        )
    return docker


def test_the_target_docker_is_the_server_and_nothing_else(built: Engine) -> None:
    with built.container("--init", "--read-only", "--cap-drop=ALL", "--publish", "8086:8080", "by-docker", name="seeds"):
        assert '"time"' in built.probe("http://127.0.0.1:8086")
        assert built.stop("seeds") == 0
        paths = (
            built.ok("export", "seeds", "--output", str(built.folder / "out.tar"))
            or subprocess.run(["tar", "-tf", str(built.folder / "out.tar")], capture_output=True, text=True, check=True).stdout
        )
    programs = {path for path in paths.splitlines() if path.rpartition("/")[0] in {"bin", "sbin", "usr/bin", "usr/sbin"}}
    # docker-init is where --init lays its own.
    assert {path for path in programs if not path.endswith("/")} == {"bin/server", "sbin/docker-init", "usr/bin/python3"}


def test_the_target_firecracker_leaves_a_drop_for_any_user_without_privileges(built: Engine, folder: Path) -> None:
    drop = folder / "drop"
    drop.mkdir()
    os.chown(drop, 12345, 1)
    bound = ("--rm", "--network=none", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--user=12345:1")
    said = built.ok("run", *bound, "--volume", f"{drop}:/drop", "by-firecracker", "clock")
    assert "/drop/rootfs.ext4" in said
    assert sorted(path.name for path in drop.iterdir()) == [*("firecracker", "rootfs.ext4", "run.sh", "vm.json", "vmlinux.bin")]
    assert all((path.stat().st_uid, stat.S_ISREG(path.stat().st_mode)) == (12345, True) for path in drop.iterdir())
    subprocess.run([tool("e2fsck"), "-fn", str(drop / "rootfs.ext4")], capture_output=True, check=True)
