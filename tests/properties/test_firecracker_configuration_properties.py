"""Whatever a machine is: Firecracker is asked for all of it once, in an order that it takes, and the kernel's line fits."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Interface
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from squib.formats.kernel_cmdline import MAX_COMMAND_LINE
from squib.model.machine import Drive, MachineConfig, Mmds, Vsock
from squib.model.network import GuestIp, RateLimiter, Tap, TokenBucket
from squib.vmm.firecracker.configuration import _added, boot_args, requests
from squib.wire.firecracker import resources as api

NAMES = st.from_regex(r"\A[a-z0-9_]{1,12}\Z")
PATHS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).map(lambda text: Path("/", text.lstrip("/") or "x"))  # fmt: skip
BUCKETS = st.none() | st.builds(
    TokenBucket, st.integers(0, 1 << 40), st.integers(0, 1 << 20), st.none() | st.integers(0, 1 << 40)
)
LIMITERS = st.none() | st.builds(RateLimiter, BUCKETS, BUCKETS)
DRIVES = st.lists(st.builds(Drive, NAMES, PATHS, st.booleans()), max_size=4, unique_by=lambda drive: drive.drive_id)
TAPS = st.lists(
    st.builds(Tap, NAMES, NAMES, st.none() | st.just("AA:FC:00:00:00:01"), st.just(GuestIp(IPv4Interface("10.0.0.2/8"))), LIMITERS, LIMITERS),
    max_size=3,
    unique_by=lambda tap: tap.iface_id,
)  # fmt: skip


@st.composite
def machines(draw: st.DrawFn) -> MachineConfig:
    drives, taps = draw(DRIVES), draw(TAPS)
    rooted, told = draw(st.booleans()), draw(st.booleans())
    if drives and rooted:
        root = draw(st.integers(0, len(drives) - 1))
        drives[root] = replace(drives[root], is_root=True, partuuid=draw(st.none() | st.just("0eaa91a0-01")))
    return MachineConfig(
        "m", draw(PATHS), draw(st.none() | PATHS), ("a=b",), draw(st.integers(1, 1 << 20)), draw(st.integers(1, 32)),
        tuple(drives), tuple(taps), console=draw(st.booleans()), entropy=draw(st.booleans()),
        vsock=draw(st.none() | st.builds(Vsock, st.integers(3, (1 << 32) - 1), PATHS)),
        mmds=Mmds((taps[0].iface_id,)) if taps and told else None,
    )  # fmt: skip


@given(machines())
def test_all_of_it_once_and_in_order(machine: MachineConfig) -> None:
    asked = requests(machine)
    paths = [request.path for request in asked]
    assert len(set(paths)) == len(paths)
    assert paths[-1] == "/actions"
    assert {path for path in paths if path.startswith("/drives/")} == {f"/drives/{drive.drive_id}" for drive in machine.drives}
    root = [f"/drives/{drive.drive_id}" for drive in machine.drives if drive.is_root]
    assert [path for path in paths if path.startswith("/drives/")][-len(root) or len(paths) :] == root
    if machine.mmds is not None:
        interfaces = [number for number, path in enumerate(paths) if path.startswith("/network-interfaces/")]
        assert max(interfaces) < paths.index("/mmds/config") < paths.index("/mmds")
    bodies = dict(zip(paths, (request.body for request in asked), strict=True))
    source = msgspec.json.decode(bodies["/boot-source"], type=api.BootSource)
    assert (source.kernel_image_path, source.boot_args) == (str(machine.kernel), boot_args(machine))
    for drive in machine.drives:
        sent = msgspec.json.decode(bodies[f"/drives/{drive.drive_id}"], type=api.Drive)
        assert (sent.path_on_host, sent.is_read_only, sent.is_root_device) == (
            str(drive.host_path),
            drive.read_only,
            drive.is_root,
        )
    for tap in machine.interfaces:
        assert isinstance(tap, Tap)
        interface = msgspec.json.decode(bodies[f"/network-interfaces/{tap.iface_id}"], type=api.NetworkInterface)
        assert (interface.host_dev_name, interface.guest_mac) == (tap.host_dev_name, tap.guest_mac)


@given(machines())
def test_the_line_fits_with_what_firecracker_adds(machine: MachineConfig) -> None:
    assert len(boot_args(machine).encode()) + len(_added(machine)) <= MAX_COMMAND_LINE
