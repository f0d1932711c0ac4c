"""`squib vm`: whatever words stand behind it, they are understood or refused in squib's words; and what it prints it takes again."""

from __future__ import annotations

from pathlib import Path

import click
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from firecracker_machines import MACHINES, TEXT
from squib.app.vm.plan import plan
from squib.cli.main import squib
from squib.cli.vm import vm
from squib.errors import SquibError, UsageError
from squib.model.vm_spec import DriveWord, TapWord, VmSpec, VsockWord
from squib.wire.firecracker import vm_json
from squib.wire.firecracker.resources import FullVmConfiguration

OPTIONS = [name for option in vm.params for name in option.opts]
PLAIN = [
    "1",
    "512",
    "x:ro",
    "x:rw",
    "tap0/AA:FC:00:00:00:01",
    "tap1",
    "v:3",
    "T2",
    "Debug",
    "{}",
    "V2",
    "ro console=ttyS0",
    "-",
    "--",
    "",
]
WORDS = st.lists(st.sampled_from(OPTIONS + PLAIN) | TEXT, max_size=8)
DRIVES = st.builds(DriveWord, TEXT.filter(bool), st.booleans())
SPECS = st.builds(
    VmSpec,
    kernel=st.none() | TEXT,
    kernel_opts=st.none() | TEXT,
    initrd_path=st.none() | TEXT,
    root_drive=st.none() | DRIVES,
    root_partition=st.none() | TEXT,
    add_drives=st.lists(DRIVES, max_size=3).map(tuple),
    tap_devices=st.lists(st.builds(TapWord, TEXT, st.none()), max_size=2, unique_by=lambda tap: tap.device).map(tuple),
    vsock_device=st.none() | st.builds(VsockWord, TEXT, st.integers(3, 99)),
    log_path=st.none() | TEXT,
    log_level=st.none() | st.just("Info"),
    metrics_path=st.none() | TEXT,
    vcpu_count=st.none() | st.integers(1, 32),
    mem_size_mib=st.none() | st.integers(1, 1 << 20),
    smt=st.none() | st.just(False),
    cpu_template=st.none() | st.just("T2"),
    metadata=st.none() | st.just("{}"),
    mmds_version=st.none() | st.just("V2"),
)


@given(WORDS)
def test_any_words(words: list[str]) -> None:
    done = CliRunner().invoke(squib, ["vm", "--print-config", *words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        assert isinstance(done.exception, SquibError | click.ClickException)
        assert str(done.exception)


@given(SPECS, st.none() | MACHINES)
def test_what_is_printed_is_taken_again(spec: VmSpec, file: FullVmConfiguration | None) -> None:
    try:
        machine = plan(spec, file)
    except UsageError:
        return
    again = vm_json.decode(vm_json.encode(machine).decode(), Path("vm.json"))
    assert again == machine
    assert plan(VmSpec(), again) == machine
    assert plan(spec, again) == machine


@given(SPECS)
def test_what_was_said_holds(spec: VmSpec) -> None:
    try:
        machine = plan(spec)
    except UsageError:
        return
    assert spec.kernel in {None, machine.boot_source.kernel_image_path}
    assert machine.machine_config is not None
    assert spec.vcpu_count in {None, machine.machine_config.vcpu_count}
    assert sum(drive.is_root_device for drive in machine.drives) == (spec.root_drive is not None)
    assert len(machine.drives) == len(spec.add_drives) + (spec.root_drive is not None)
