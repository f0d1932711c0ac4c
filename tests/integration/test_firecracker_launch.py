"""Starting Firecracker, and each way in which that fails: a clear error, and nothing left. What the fake claims, the real one says."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import fake_firecracker
from squib.errors import ApplianceError, HostError, MissingError, SquibError, UnavailableError, UsageError
from squib.host import tap
from squib.host.process import alive, working_in
from squib.model.machine import Drive, MachineConfig, Mmds, VmmLog, Vsock
from squib.model.network import Tap
from squib.vmm.base import VmEnd
from squib.vmm.firecracker import start as start_module
from squib.vmm.firecracker.api_client import ApiClient, ApiRefusedError
from squib.vmm.firecracker.configuration import requests
from squib.vmm.firecracker.launch import Firecracker
from squib.vmm.run_dir import CONSOLE_MAX_BYTES, is_full
from squib.wire.firecracker.requests import Request
from support import firecracker
from tiny_guest import Behaviour, config

STEPS = ("socket", "/metrics", "/machine-config", "/boot-source", "/drives/rootfs", "/entropy", "/actions:InstanceStart")


@pytest.fixture
def run_dir(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "machines/one"
    yield folder
    left = working_in(folder)
    for identity in left:
        os.kill(identity.pid, signal.SIGKILL)
    assert not left, "a Firecracker was left running"


@pytest.fixture
def machine(tmp_path: Path) -> MachineConfig:
    kernel, disk = tmp_path / "vmlinux", tmp_path / "root.ext4"
    kernel.write_bytes(b"\x7fELF")
    disk.write_bytes(bytes(4096))
    tiny = config(tmp_path, Behaviour.SERVES, kernel=kernel)
    return replace(tiny, interfaces=(), drives=(Drive("rootfs", disk, is_root=True),))


@pytest.fixture
def no_tap_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap, "check", lambda name, **_: None)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_SOCKET_S", "_ANSWER_S", "_START_S"):
        monkeypatch.setattr(start_module, name, 0.3)


@pytest.mark.parametrize("step", STEPS)
def test_it_dies_at_a_step(machine: MachineConfig, run_dir: Path, tmp_path: Path, step: str) -> None:
    with pytest.raises(HostError, match="killed by signal 9 while it was asked to") as caught:
        Firecracker(fake_firecracker.write(tmp_path, f"die:{step}")).launch(machine, run_dir)
    assert "the fake dies" in caught.value.detail
    assert step.partition(":")[0] in str(caught.value)
    assert not run_dir.exists()


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("step", STEPS)
def test_it_hangs_at_a_step(machine: MachineConfig, run_dir: Path, tmp_path: Path, step: str) -> None:
    with pytest.raises(HostError, match=r"within 0\.3 s|cannot be reached") as caught:
        Firecracker(fake_firecracker.write(tmp_path, f"hang:{step}")).launch(machine, run_dir)
    assert "overloaded" in caught.value.hint
    assert not run_dir.exists()


def test_it_is_not_there(machine: MachineConfig, run_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="is not there"):
        Firecracker(tmp_path / "none").launch(machine, run_dir)
    assert not run_dir.exists()


def test_it_is_another_program(machine: MachineConfig, run_dir: Path) -> None:
    with pytest.raises(HostError, match="ended with exit status 0 while it was asked to listen on its socket"):
        Firecracker(Path("/bin/true")).launch(machine, run_dir)
    assert not run_dir.exists()


@pytest.mark.parametrize("real", [False, pytest.param(True, marks=pytest.mark.tool)])
def test_refusals(machine: MachineConfig, run_dir: Path, tmp_path: Path, real: bool) -> None:
    """The fake says what the real one says."""
    vmm = Firecracker(firecracker() if real else fake_firecracker.write(tmp_path))
    text = tmp_path / "text"
    text.write_text("no kernel")
    cases: tuple[tuple[MachineConfig, type[SquibError], str], ...] = (
        (replace(machine, kernel=tmp_path / "none"), MissingError, "the kernel is missing"),
        (replace(machine, kernel=text), ApplianceError, "cannot load this kernel"),
        (replace(machine, drives=(Drive("rootfs", tmp_path / "none"),)), MissingError, "a drive of the machine is missing"),
        (replace(machine, mem_size_mib=0), HostError, "refused PUT /machine-config (400): Machine config error"),
        (replace(machine, mmds=Mmds(("eth9",))), HostError, "does not correspond to any existing network interface"),
    )
    for wrong, kind, message in cases:
        with pytest.raises(kind, match=re.escape(message)) as caught:
            vmm.launch(wrong, run_dir)
        assert type(caught.value) is kind
        assert not run_dir.exists()


@pytest.mark.usefixtures("no_tap_is_looked_at")
@pytest.mark.parametrize("real", [False, pytest.param(True, marks=pytest.mark.tool)])
def test_every_request_is_taken(
    machine: MachineConfig, run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real: bool
) -> None:
    """All that a machine can have, by the fake and by the real one; but a tap is made only by root, and nothing is started."""
    whole = replace(
        machine,
        vcpu_count=2,
        drives=(*machine.drives, Drive("data", machine.drives[0].host_path, read_only=False)),
        vsock=Vsock(3, tmp_path / "v.sock"),
        log=VmmLog(tmp_path / "own.log", "Debug"),
        metrics=tmp_path / "own.metrics",
    )
    if not real or os.geteuid() == 0:
        whole = replace(
            whole, interfaces=(Tap("eth0", "squibtest0", "AA:FC:00:00:00:01"),), mmds=Mmds(("eth0",), '{"a": "' + "ä" * 40000 + '"}')
        )  # fmt: skip
    sent: list[str] = []

    def all_but_the_start(client: ApiClient, request: Request, *, timeout: float, send: object = ApiClient.send) -> None:
        if request.path != "/actions":
            send(client, request, timeout=timeout)  # type: ignore[operator]  # the method that is replaced
        sent.append(request.path)

    monkeypatch.setattr(ApiClient, "send", all_but_the_start)
    vmm = Firecracker(firecracker() if real else fake_firecracker.write(tmp_path))
    with vmm.launch(whole, run_dir) as vm:
        assert vm.kill().status is None
    assert sent == [request.path for request in requests(whole)]
    assert (tmp_path / "own.metrics").exists()
    assert (tmp_path / "own.log").exists()


def test_the_fake_is_strict(machine: MachineConfig, run_dir: Path, tmp_path: Path) -> None:
    with Firecracker(fake_firecracker.write(tmp_path)).launch(machine, run_dir) as vm:
        vm.wait_ready(60)
        with ApiClient(run_dir / "api.sock", timeout=20) as client:
            for request, why in (
                (Request("PUT", "/machine-config", b'{"vcpu_count":1,"mem_size_mib":1}'), "not supported after starting"),
                (Request("PUT", "/machine-config", b'{"vcpu_count":1,"mem_size_mib":1,"x":1}'), "unknown field `x`"),
                (Request("PUT", "/machine-config", b'{"vcpu_count":1}'), "missing field `mem_size_mib`"),
                (Request("PUT", "/machine-config", b'{"vcpu_count":true,"mem_size_mib":1}'), "invalid type"),
                (Request("PUT", "/machine-config", b"{"), "deserializing"),
                (Request("PUT", "/drives/a", b'{"drive_id":"b","is_root_device":true}'), "does not match"),
                (Request("PUT", "/nowhere", b"{}"), "Invalid request method and/or path"),
                (Request("PUT", "/actions", b'{"action_type":"Dance"}'), "unknown variant"),
            ):
                with pytest.raises(ApiRefusedError, match=re.escape(why)):
                    client.send(request, timeout=20)
        assert vm.stop(20) == VmEnd(0, "stopped")


def test_a_deaf_guest_is_ended_at_the_deadline(machine: MachineConfig, run_dir: Path, tmp_path: Path) -> None:
    with Firecracker(fake_firecracker.write(tmp_path, "deaf")).launch(machine, run_dir) as vm:
        vm.wait_ready(60)
        assert vm.stop(0.2).status is None
        assert not alive(vm.identity)


def test_a_drive_that_the_guest_writes_moves_the_bound(machine: MachineConfig, run_dir: Path, tmp_path: Path) -> None:
    big = tmp_path / "big.raw"
    with big.open("wb") as file:
        file.truncate(CONSOLE_MAX_BYTES * 2 + 1)
    writing = replace(machine, drives=(Drive("data", big, read_only=False),))
    with Firecracker(fake_firecracker.write(tmp_path)).launch(writing, run_dir) as vm:
        with vm.console.open("r+b") as console:
            console.truncate(CONSOLE_MAX_BYTES * 2)
        assert not is_full(vm.console)
        with vm.console.open("r+b") as console:
            console.truncate(CONSOLE_MAX_BYTES * 2 + 4096)
        assert is_full(vm.console)
        vm.kill()


def test_a_tap_is_looked_for_before_anything_is_made(machine: MachineConfig, run_dir: Path, tmp_path: Path) -> None:
    """Firecracker would make one itself where it may, and nothing would be behind it."""
    with pytest.raises(MissingError, match="there is no tap device squibnone"):
        Firecracker(fake_firecracker.write(tmp_path)).launch(replace(machine, interfaces=(Tap("eth0", "squibnone"),)), run_dir)
    assert not run_dir.exists()


def test_a_name_with_what_an_id_may_not_hold(machine: MachineConfig, run_dir: Path, tmp_path: Path) -> None:
    with Firecracker(fake_firecracker.write(tmp_path)).launch(replace(machine, name="a.b_c"), run_dir) as vm:
        vm.wait_ready(60)
        vm.kill()


def test_what_it_cannot_do_makes_nothing(machine: MachineConfig, run_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        Firecracker(tmp_path / "none").launch(replace(machine, boot_args="x" * 2040), run_dir)
    assert not run_dir.parent.exists()
