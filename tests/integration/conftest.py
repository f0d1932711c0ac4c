"""Fixtures of more than one file."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from host_machines import Lab
from lifecycle import Obedient, World
from namespaces import Namespace, uplink
from program import free_port
from squib.host import ports
from squib.host.process import working_in
from squib.model.appliance import Appliance
from squib.model.image import Artifact, FileRecord, KernelRecord, Manifest
from squib.store import Store
from squib.wire import manifest
from support import tool


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    # A port that squib chooses is free again once its machine has stopped: only a port of this run's own is there for a restart.
    monkeypatch.setattr(ports, "choose", lambda *_: free_port())
    folder = tmp_path / "out"
    folder.mkdir()
    files = tuple(FileRecord(name, 1, "0" * 64) for name in ("initrd.img", "rootfs.ext4", "vmlinux"))
    description = Manifest("0", 1, Appliance("clock", "a:b", folder), KernelRecord("6", "test", 1), files, ())
    (folder / "manifest.json").write_bytes(manifest.encode(description))
    with Store(tmp_path / "squib") as store:
        yield World(store, Obedient(), Artifact(folder, description))
        for machine in store.list():
            for identity in working_in(machine.run_dir):
                os.kill(identity.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def outside() -> Iterator[Namespace]:
    with Namespace() as namespace:
        yield namespace


@pytest.fixture
def lab(outside: Namespace, tmp_path: Path) -> Iterator[Lab]:
    tool("nft")
    with Namespace() as host:
        uplink(host, outside)
        lab = Lab(host, tmp_path)
        try:
            lab.squib("host", "setup")
            lab.rules = host.rules()
            yield lab
            for machine in json.loads(lab.squib("ps", "--json")):
                lab.squib("rm", "--force", machine["name"])
            lab.nothing_left()
        finally:
            for pid in lab.processes():  # of a test that failed; nobody else would end them
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            outside.run("ip", "link", "del", "eth0")
