"""How long a boot takes in real Firecracker: from the start of its process to the first answer, with each kernel. No time is tested.

The numbers go to `boot-times.json` among the results, for `bench.lab`; `--boot-rounds N` boots each N times, in turns.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
from pathlib import Path

import pytest
from msgspec import structs

from lab.conftest import GUEST, MAC, Artifacts
from squib.build.artifact import open_artifact
from squib.formats.console_lines import Ready, find
from squib.model.machine import VmmKind
from squib.model.run import RunSpec
from squib.vmm.firecracker.configuration import configuration
from squib.vmm.plan import machine_config
from squib.wire.firecracker import vm_json

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1800)]

ASK_S = 0.1
KERNELS = {"tuned": "tuned", "Debian's": "clock"}
"""Kernels, and the artifacts that have them."""


def first_answer(process: subprocess.Popen[bytes], folder: Path, seconds: float = 240) -> bytes:
    """The first answer, asked for every 100 ms: TCP itself would try again after a second, and then after two.

    Also where the guest refuses at once, as it does from when its kernel has an address until its server listens: who asks again
    and again then takes the processor, the only one here, from the boot.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, f"Firecracker ended with {process.returncode}{told(folder)}"
        asked = time.monotonic()
        try:
            with socket.create_connection((GUEST, 80), timeout=ASK_S) as connection:
                connection.settimeout(seconds)
                connection.sendall(b"GET / HTTP/1.1\r\nHost: clock\r\nConnection: close\r\n\r\n")
                return connection.makefile("rb").read()
        except OSError:
            time.sleep(max(0.0, asked + ASK_S - time.monotonic()))
    raise AssertionError(f"the guest did not answer{told(folder)}")


def told(folder: Path) -> str:
    """What guest and Firecracker said. At this level it tells a guest that reset itself from one that KVM gave up (KVM_EXIT_SHUTDOWN)."""
    dmesg = subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout
    texts = {name: (folder / name).read_text(errors="replace") for name in ("console", "firecracker.log")}
    return "".join(f"\n--- {name}\n{text[-4000:]}" for name, text in {**texts, "dmesg": dmesg}.items())


def readiness(console: Path, seconds: float = 60) -> Ready:
    """The line that says so: the server may answer before PID 1 has written it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for line in find(console.read_bytes()):
            if isinstance(line, Ready):
                return line
        time.sleep(0.05)
    raise AssertionError(console.read_text())


def boot(artifact: Path, tap: str, folder: Path) -> dict[str, float]:
    """Milliseconds to the first answer, and what the guest's own clock says of readiness."""
    config = machine_config(open_artifact(artifact), RunSpec(vmm=VmmKind.FIRECRACKER, tap=(tap, MAC)), "clock")
    (folder / "vm.json").write_bytes(vm_json.encode(structs.replace(configuration(config), metrics=None)))
    console = folder / "console"
    (folder / "firecracker.log").touch()
    line = ("firecracker", "--no-api", "--config-file", "vm.json", "--log-path", "firecracker.log", "--level", "Info")
    with console.open("wb") as log:
        began = time.monotonic()
        process = subprocess.Popen(line, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            answer = first_answer(process, folder)
            answered_ms = (time.monotonic() - began) * 1000
            ready = readiness(console)
        finally:
            process.kill()
            process.wait()
    assert b'{ "time": "20' in answer
    return {"answered_ms": round(answered_ms), "ready_ms": ready.uptime_ms}


def test_cold_to_first_answer(
    request: pytest.FixtureRequest,
    artifacts: Artifacts,
    tap0: str,
    tmp_path: Path,
    results: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # So that no question for the guest's hardware address, asked once a second, stands between the boot and the answer.
    subprocess.run(["ip", "neigh", "replace", GUEST, "lladdr", MAC, "dev", tap0, "nud", "permanent"], check=True)
    rounds = int(request.config.getoption("--boot-rounds"))
    found: dict[str, list[dict[str, float]]] = {name: [] for name in KERNELS}
    for number in range(rounds):
        for name in list(KERNELS)[:: 1 if number % 2 == 0 else -1]:
            found[name].append(boot(artifacts[KERNELS[name]], tap0, tmp_path))
    (results / "boot-times.json").write_text(json.dumps(found))
    for name, values in found.items():
        with capsys.disabled():
            print(
                f"\n{name} kernel, cold to first answer: {', '.join(str(value['answered_ms']) for value in values)} ms", end=""
            )
