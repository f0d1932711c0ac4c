"""What `squib vm` sees to be wrong before it starts anything: each with its own words, and its own exit code."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from squib.app.vm import inputs, preflight
from squib.errors import (
    ApplianceError,
    MissingError,
    PermissionDeniedError,
    SquibError,
    TakenError,
    UnavailableError,
    UsageError,
)
from squib.host import kvm
from squib.host.kvm import KvmDevice
from squib.vmm.firecracker import binaries
from squib.wire.firecracker.resources import (
    BootSource,
    Drive,
    FullVmConfiguration,
    Logger,
    Metrics,
    NetworkInterface,
    Vsock,
)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FullVmConfiguration:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(kvm, "look", lambda: KvmDevice("", "", "kvm_intel"))
    Path("vmlinux").write_bytes(b"\x7fELF\x02\x01")
    Path("r.ext4").write_bytes(b"")
    Path("vmlinuz").write_bytes(bytes(0x202) + b"HdrS" + bytes(99))
    return FullVmConfiguration(
        BootSource("vmlinux"), (Drive("1", is_root_device=True, is_read_only=False, path_on_host="r.ext4"),)
    )


def test_nothing_is_wrong(machine: FullVmConfiguration) -> None:
    preflight.check(machine)


def kernel(path: str) -> dict[str, object]:
    return {"boot_source": BootSource(path)}


def drive(path: str) -> dict[str, object]:
    return {"drives": (Drive("2", is_root_device=False, is_read_only=True, path_on_host=path),)}


@pytest.mark.parametrize(
    ("changes", "error", "message", "hint"),
    [
        (kernel("gone"), MissingError, "the kernel gone is not there", ""),
        (kernel("~/vmlinux"), MissingError, "the shell leaves ~ as it is behind a =", "write $HOME/vmlinux"),
        (kernel("."), UsageError, "the kernel . is no file", ""),
        (kernel("a\0"), UsageError, "is no path", ""),
        (kernel("r.ext4"), ApplianceError, "r.ext4 is no kernel that Firecracker could load", "ELF vmlinux"),
        (kernel("vmlinuz"), ApplianceError, "vmlinuz is a bzImage", "squib build clock --kernel vmlinuz -o out"),
        ({"boot_source": BootSource("vmlinux", initrd_path="gone")}, MissingError, "the initrd gone is not there", ""),
        (drive("gone"), MissingError, "the drive 2, gone is not there", ""),
        (drive("/dev/null"), UsageError, "the drive 2, /dev/null is no file", ""),
        (
            {"drives": (Drive("2", is_root_device=False, socket="gone"),)},
            MissingError,
            "the vhost-user socket of drive 2, gone is not there",
            "",
        ),
        (
            {"network_interfaces": (NetworkInterface("1", "no-such-tap"),)},
            MissingError,
            "there is no tap device no-such-tap",
            'squib host setup --user "$USER" --tap no-such-tap',
        ),
        ({"network_interfaces": (NetworkInterface("1", "lo"),)}, UsageError, "lo is not a tap device", ""),
        ({"vsock": Vsock(3, "r.ext4")}, TakenError, "r.ext4 is there already, and is no socket", ""),
        ({"vsock": Vsock(3, "gone/v")}, MissingError, "the folder of the vsock's socket is not there", "mkdir -p"),
        ({"logger": Logger("gone")}, MissingError, "gone is not there", ""),
        ({"logger": Logger(".")}, UsageError, "the log . is a folder", ""),
        ({"metrics": Metrics("gone")}, MissingError, "gone is not there", ""),
    ],
)
def test_what_is_wrong(
    machine: FullVmConfiguration, changes: dict[str, object], error: type[SquibError], message: str, hint: str
) -> None:
    with pytest.raises(error) as caught:
        preflight.check(msgspec.structs.replace(machine, **changes))
    assert message in str(caught.value)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("device", "error"),
    [
        (KvmDevice("there is no /dev/kvm", "load kvm_intel", ""), UnavailableError),
        (KvmDevice("this user may not open /dev/kvm", "sudo setfacl -m u:$USER:rw /dev/kvm", ""), PermissionDeniedError),
    ],
)
def test_no_kvm(
    machine: FullVmConfiguration, monkeypatch: pytest.MonkeyPatch, device: KvmDevice, error: type[SquibError]
) -> None:
    monkeypatch.setattr(kvm, "look", lambda: device)
    with pytest.raises(error, match="Firecracker needs KVM: ") as caught:
        preflight.check(machine)
    assert caught.value.hint == device.hint


def test_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    preflight.check_socket_path("the API's socket", "new.sock")
    with pytest.raises(UsageError, match="longer than 107 bytes"):
        preflight.check_socket_path("the API's socket", "x" * 108)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("a.sock")
        server.listen()
        with pytest.raises(TakenError, match=r"a\.sock is another running machine's"):
            preflight.check_socket_path("the API's socket", "a.sock")
    with pytest.raises(TakenError, match="nobody listens there") as caught:
        preflight.check_socket_path("the API's socket", "a.sock")
    assert caught.value.hint == "rm a.sock"


def test_ids() -> None:
    preflight.check_id("one-2")
    for name in ("", "a_b", "x" * 65, "a\n"):
        with pytest.raises(UsageError, match="cannot be an id"):
            preflight.check_id(name)


@pytest.mark.parametrize(
    ("prepare", "named", "error"),
    [
        (lambda: None, "./gone", MissingError),
        (lambda: Path("d").mkdir(), "./d", UsageError),
        (lambda: Path("f").write_bytes(b""), "./f", PermissionDeniedError),
        (lambda: None, None, UnavailableError),
    ],
)
def test_firecracker_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepare: Callable[[], object], named: str | None, error: type[SquibError]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(binaries, "find", lambda: None)
    prepare()
    with pytest.raises(error):
        preflight.find_firecracker(named)


def test_firecracker_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("fc").write_bytes(b"")
    Path("fc").chmod(0o755)
    assert preflight.find_firecracker("./fc") == preflight.find_firecracker("fc") == tmp_path / "fc"
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir("/")
    assert preflight.find_firecracker("fc") == tmp_path / "fc"


def test_files_that_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.json").write_text('{\n"a": 1}')
    assert inputs.read_metadata(None, "m.json") == '{"a":1}'
    assert inputs.read_metadata('{"b": 2}', None) == '{"b":2}'
    assert inputs.read_metadata(None, None) is None
    Path("latin").write_bytes(b'{"a": "\xe4"}')
    for path, error, message in (
        ("gone", MissingError, "the metadata gone is not there"),
        ("latin", ApplianceError, "latin: not UTF-8 (byte 7)"),
        ("/dev/zero", ApplianceError, "over 16 MiB"),
        (".", SquibError, "is a folder"),
        ("a\0b", UsageError, "is no path"),
    ):
        with pytest.raises(error) as caught:
            inputs.read_metadata(None, path)
        assert message in str(caught.value)
    with pytest.raises(MissingError, match=r"the configuration gone\.json is not there"):
        inputs.read_configuration("gone.json")
    Path("cpu.json").write_text('{"msr_modifiers": []}')
    template = inputs.read_cpu_config(FullVmConfiguration(BootSource("k"), (), cpu_config="cpu.json"))
    assert template is not None
    assert template.msr_modifiers == []
