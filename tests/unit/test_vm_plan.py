"""`squib vm`'s words and what they come to: firectl's identifiers and defaults, the file beaten by the command line, what is refused."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner

from squib.app.vm.plan import plan
from squib.cli.main import squib
from squib.cli.vm import vm
from squib.errors import MissingError, UsageError
from squib.formats.kernel_cmdline import MAX_COMMAND_LINE
from squib.model.vm_spec import (
    DEFAULT_KERNEL_OPTS,
    DriveWord,
    TapWord,
    VmSpec,
    VsockWord,
    parse_add_drive,
    parse_memory,
    parse_root_drive,
    parse_tap_device,
    parse_vsock_device,
)
from squib.wire.firecracker import requests
from squib.wire.firecracker.resources import (
    BootSource,
    Drive,
    FullVmConfiguration,
    Logger,
    MachineConfiguration,
    Metrics,
    MmdsConfig,
    NetworkInterface,
    Vsock,
)
from support import golden

# The seed's run_firecracker.sh: only `./firectl` became `squib vm`, and $PWD /drop.
SEED = """squib vm \\
    --firecracker-binary=/drop/firecracker \\
    --kernel=/drop/vmlinux.bin \\
    --root-drive=/drop/rootfs.ext4 \\
    --kernel-opts="console=ttyS0 ip=172.17.100.2::172.17.100.1:255.255.255.0:webserver:eth0:off:172.17.100.1::" \\
    --tap-device=tap0/AA:FC:00:00:00:01
"""
ROOT = VmSpec(root_drive=DriveWord("r.ext4", read_only=False))
FILE = FullVmConfiguration(
    BootSource("/k", boot_args="console=ttyS0"),
    (
        Drive("root", is_root_device=True, is_read_only=True, path_on_host="/r"),
        Drive("data", is_root_device=False, is_read_only=True, path_on_host="/d"),
    ),
    machine_config=MachineConfiguration(2, 128),
    network_interfaces=(NetworkInterface("eth0", "tap7"),),
    mmds_config=MmdsConfig(("eth0",), version="V2"),
)


def test_the_seeds_command_line(update_golden: bool) -> None:
    words = shlex.split(SEED.replace("\\\n", ""))[1:]
    done = CliRunner().invoke(squib, [*words, "--print-config"])
    assert done.exit_code == 0
    golden("vm-seed.json", done.stdout, update=update_golden)
    machine = msgspec.json.decode(done.stdout, type=FullVmConfiguration)
    lines = [f"{one.method} {one.path} {one.body.decode()}" for one in requests.configure(machine)]
    golden("vm-seed-requests.txt", "\n".join(lines) + "\n", update=update_golden)


def test_a_configuration_is_printed_and_what_it_lacks_here_is_said(tmp_path: Path) -> None:
    (tmp_path / "r").touch()
    done = CliRunner().invoke(squib, ["vm", "--kernel", "gone", "--root-drive", f"{tmp_path}/r", "--print-config"])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["boot-source"]["kernel_image_path"] == "gone"
    assert done.stderr == "squib: warning: the kernel gone is not here; it must be where this machine is started\n"


def test_a_configuration_whose_paths_start_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a drop"
    folder.mkdir()
    (folder / "k").touch()
    (folder / "vm.json").write_text('{"boot-source": {"kernel_image_path": "./k", "initrd_path": "/i"}, "drives": []}')
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(squib, ["vm", "--config", "a drop/vm.json"])
    assert isinstance(done.exception, MissingError)
    assert "the kernel ./k is not there: the paths of a configuration start from the working folder" in str(done.exception)
    assert done.exception.hint == "start it where they lead: cd 'a drop', and --config vm.json"


def test_the_defaults_are_firectls() -> None:
    machine = plan(ROOT)
    assert machine.boot_source == BootSource("./vmlinux", boot_args=DEFAULT_KERNEL_OPTS)
    assert not {"noapic", "nomodules"} & set(DEFAULT_KERNEL_OPTS.split())
    assert machine.machine_config == MachineConfiguration(1, 512, smt=True)
    assert machine.drives == (Drive("1", is_root_device=True, is_read_only=False, path_on_host="r.ext4"),)
    assert (machine.network_interfaces, machine.vsock, machine.mmds_config, machine.logger, machine.metrics) == ((), None, None, None, None)  # fmt: skip


def test_every_word() -> None:
    spec = VmSpec(
        kernel="k", kernel_opts="console=ttyS0", initrd_path="i", root_drive=DriveWord("r", read_only=True), root_partition="aa-01",
        add_drives=(DriveWord("a", read_only=True), DriveWord("b", read_only=False)),
        tap_devices=(TapWord("tap0", "AA:FC:00:00:00:01"), TapWord("tap1", None)), vsock_device=VsockWord("v", 3),
        log_path="l", metrics_path="m", vcpu_count=2, mem_size_mib=64, smt=False, cpu_template="T2", metadata="{}", mmds_version="V2",
    )  # fmt: skip
    assert plan(spec) == FullVmConfiguration(
        BootSource("k", "i", "console=ttyS0"),
        (
            Drive("2", is_root_device=False, is_read_only=True, path_on_host="a"),
            Drive("3", is_root_device=False, is_read_only=False, path_on_host="b"),
            Drive("1", is_root_device=True, is_read_only=True, path_on_host="r", partuuid="aa-01"),
        ),
        machine_config=MachineConfiguration(2, 64, cpu_template="T2"),
        network_interfaces=(NetworkInterface("1", "tap0", "AA:FC:00:00:00:01"), NetworkInterface("2", "tap1")),
        vsock=Vsock(3, "v"),
        mmds_config=MmdsConfig(("1", "2"), version="V2"),
        logger=Logger("l", "Debug"),
        metrics=Metrics("m"),
    )


def test_nothing_said_leaves_the_file_as_it_is() -> None:
    assert plan(VmSpec(), FILE) == FILE
    bare = FullVmConfiguration(BootSource("/k", initrd_path="/i"), ())
    assert plan(VmSpec(), bare) == bare


def test_the_command_line_beats_the_file() -> None:
    said = VmSpec(
        kernel="k2", vcpu_count=4, root_drive=DriveWord("r2", read_only=False), add_drives=(DriveWord("a", read_only=True),),
        tap_devices=(TapWord("tap0", None),), log_level="Info",
    )  # fmt: skip
    machine = plan(said, FILE)
    assert machine.boot_source == BootSource("k2", boot_args="console=ttyS0")
    assert machine.machine_config == MachineConfiguration(4, 128)
    assert [drive.path_on_host for drive in machine.drives] == ["a", "r2"]
    assert machine.network_interfaces == (NetworkInterface("1", "tap0"),)
    assert machine.mmds_config == MmdsConfig(("1",), version="V2")
    assert machine.logger == Logger(level="Info")


def test_parts_of_the_file_stay_beside_what_was_said() -> None:
    rooted = plan(VmSpec(root_partition="aa-01"), FILE)
    assert [(drive.drive_id, drive.partuuid) for drive in rooted.drives] == [("root", "aa-01"), ("data", None)]
    added = plan(VmSpec(add_drives=(DriveWord("a", read_only=True),)), FILE)
    assert [drive.path_on_host for drive in added.drives] == ["a", "/r"]
    clash = msgspec.structs.replace(FILE, drives=(msgspec.structs.replace(FILE.drives[1], drive_id="1"),), mmds_config=None)
    assert [drive.drive_id for drive in plan(ROOT, clash).drives] == ["1", "root0"]
    without = msgspec.structs.replace(FILE, machine_config=None)
    assert plan(VmSpec(vcpu_count=2), without).machine_config == MachineConfiguration(2, 128)
    assert plan(VmSpec(), without).machine_config is None


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (VmSpec(), "nothing to start from"),
        (VmSpec(root_partition="x", initrd_path="i"), "--root-partition is a partition of the root drive"),
        (replace(ROOT, metadata="{}"), "the guest has none"),
        (replace(ROOT, vcpu_count=3), "3 processors cannot share cores by two"),
        (replace(ROOT, kernel_opts="ä"), "must be printable ASCII"),
        (replace(ROOT, kernel_opts="a\nb"), "must be printable ASCII"),
        (replace(ROOT, kernel_opts="x" * (MAX_COMMAND_LINE - 16)), "would be 2,048 bytes long, with what Firecracker adds"),
        (
            replace(ROOT, tap_devices=(TapWord("tap0", None), TapWord("tap0", None))),
            "tap0 is there 2 times as a tap device",
        ),
        (
            replace(ROOT, tap_devices=(TapWord("tap0", "AA:FC:00:00:00:01"), TapWord("tap1", "aa:fc:00:00:00:01"))),
            "AA:FC:00:00:00:01 is there 2 times as a MAC address",
        ),
    ],
)
def test_what_is_refused(spec: VmSpec, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan(spec)


def test_a_line_that_just_fits() -> None:
    plan(replace(ROOT, kernel_opts="x" * (MAX_COMMAND_LINE - len(" root=/dev/vda rw"))))
    plan(replace(ROOT, vcpu_count=3, smt=False))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"drives": (*FILE.drives, FILE.drives[0])}, "root is there 2 times as a drive's id"),
        (
            {"drives": (FILE.drives[0], msgspec.structs.replace(FILE.drives[0], drive_id="b"))},
            "2 drives are the root: root and b",
        ),
        ({"drives": (msgspec.structs.replace(FILE.drives[0], path_on_host=None),)}, "needs either path_on_host or socket"),
        ({"drives": (msgspec.structs.replace(FILE.drives[0], socket="/s"),)}, "needs either path_on_host or socket"),
        ({"mmds_config": MmdsConfig(("eth1",))}, "through eth1, which is no network interface"),
        ({"network_interfaces": ()}, "the guest has none"),
    ],
)
def test_what_is_refused_of_a_file(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan(VmSpec(), msgspec.structs.replace(FILE, **changes))


def test_words() -> None:
    assert parse_root_drive("a:b") == DriveWord("a:b", read_only=False)
    assert parse_root_drive("a:ro") == DriveWord("a", read_only=True)
    assert parse_root_drive("a:rw") == parse_root_drive("a") == DriveWord("a", read_only=False)
    assert parse_add_drive("a:rw") == DriveWord("a", read_only=False)
    assert parse_tap_device("tap0/aa:fc:00:00:00:01") == TapWord("tap0", "aa:fc:00:00:00:01")
    assert parse_tap_device("tap0") == TapWord("tap0", None)
    assert parse_vsock_device("a:b:4294967295") == VsockWord("a:b", 4294967295)
    assert (parse_memory("512"), parse_memory("1G")) == (512, 1024)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--root-drive", ":ro"], "names no file"),
        (["--add-drive", "a"], "does not say whether the guest may write"),
        (["--add-drive", ":rw"], "names no file"),
        (["--tap-device", "tap0/"], "'' is not a MAC address"),
        (["--tap-device", "/AA:FC:00:00:00:01"], "'' is not the name of a network device"),
        (["--tap-device", "a-name-too-long-for-it"], "is not the name of a network device"),
        (["--tap-device", "tap0/AA:FC:00:00:00"], "is not a MAC address"),
        (["--tap-device", "tap0/AB:FC:00:00:00:01"], "multicast"),
        (["--vsock-device", "v"], "is not a vsock device"),
        (["--vsock-device", "v:2"], "a guest's CID is 3 to"),
        (["--vsock-device", "v:4294967296"], "a guest's CID is 3 to"),
        (["-m", "0"], "is not a memory size"),
        (["-m", "much"], "is not a memory size"),
        (["--root-drive", "a", "--root-drive", "b"], "--root-drive was given 2 times"),
        (["--vsock-device", "a:3", "--vsock-device", "b:4"], "--vsock-device was given 2 times"),
        (["-l", "a", "--vmm-log-fifo", "b"], "two places for one log"),
        (["--metadata", "x"], "--metadata:1: not JSON"),
        (["--metadata", "[]"], "metadata is an object"),
        (["--metadata", "{}", "--metadata-file", "x"], "say the same"),
        (["--uid", "3"], "go with --jailer"),
        (["--daemonize"], "go with --jailer"),
    ],
)
def test_words_that_are_refused(words: list[str], message: str) -> None:
    done = CliRunner().invoke(squib, ["vm", "--root-drive", "r", *words] if "--root-drive" not in words else ["vm", *words])
    assert isinstance(done.exception, UsageError)
    assert message in str(done.exception)


NUMBERS = ("ncpus", "memory", "uid", "gid", "node", "stop_timeout")
TEXTS = [
    option for option in vm.params if isinstance(option, click.Option) and not option.is_flag and option.name not in NUMBERS
]


@pytest.mark.parametrize("name", [name for option in TEXTS for name in option.opts])
def test_an_empty_text_is_not_given(name: str) -> None:
    """As where a script has `--id=$ID` and no ID."""
    words = ["vm", "--root-drive", "r", "--print-config"]
    as_ever = CliRunner().invoke(squib, words)
    assert as_ever.exit_code == 0
    for empty in ([f"{name}="] if name.startswith("--") else []), [name, ""]:
        done = CliRunner().invoke(squib, [*words, *empty])
        assert (done.exit_code, done.stdout) == (0, as_ever.stdout), (empty, done.exception)


def test_of_several_the_empty_ones_are_not_given_and_what_needs_the_jailer_still_does() -> None:
    words = ["vm", "--root-drive", "", "--root-drive", "r", "--add-drive=", "--add-drive", "a:ro", "--print-config"]
    drives = json.loads(CliRunner().invoke(squib, words).stdout)["drives"]
    assert [drive["path_on_host"] for drive in drives] == ["a", "r"]
    done = CliRunner().invoke(squib, ["vm", "--root-drive", "r", "--jailer=", "--uid", "10001"])
    assert "go with --jailer" in str(done.exception), "whoever asks for a jail does not run without one"
    done = CliRunner().invoke(squib, ["vm", "--root-drive", "r", "--ncpus="])
    assert done.exit_code == 2, "there is no number that it could mean"


def test_short_flags_and_both_spellings() -> None:
    def config(*words: str) -> str:
        done = CliRunner().invoke(squib, ["vm", "--root-drive", "r", "--print-config", *words])
        assert done.exit_code == 0, done.output
        return done.stdout

    assert '"smt"' not in config("-t")
    assert config("-t") == config("--disable-smt") == config("--disable-hyperthreading")
    assert config("-c", "2", "-m", "64", "-l", "f") == config("--ncpus=2", "--memory=64", "--firecracker-log=f")
    assert config("-s", "s", "-d") == config("--socket-path", "s", "--debug") == config()
