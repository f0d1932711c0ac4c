"""Faults around machines with networks of their own: squib and Firecracker killed, disks full, programs and devices missing.

At whatever step: it is said clearly where somebody is there to say it, and the next command leaves nothing of it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from host_machines import RUN, Lab
from namespaces import Namespace, eventually
from support import tool

pytestmark = [pytest.mark.root, pytest.mark.tool, pytest.mark.timeout(240)]

STORE, NETWORKING, LAUNCH = "squib.store.machines", "squib.app.networking", "squib.vmm.firecracker.launch"
NAMED = {"record", "port"}
LEASED = NAMED | {"lease"}
NETWORKED = LEASED | {"rules", "tap"}
STARTED = NETWORKED | {"folder", "process", "socket"}

# The steps of a start, and what there is when squib is killed there: so each was really reached.
STARTS = (
    ((STORE, "Store.reserve", "after"), NAMED),
    ((STORE, "Store.lease_network", "after"), LEASED),
    (("squib.host.nft", "apply", "after"), LEASED | {"rules"}),
    ((LAUNCH, "make_run_dir", "after"), LEASED | {"rules", "folder"}),
    (("squib.host.links", "add_tap", "after"), NETWORKED | {"folder"}),
    ((LAUNCH, "_spawn", "after"), STARTED),
    (("squib.vmm.firecracker.api_client", "ApiClient.send", "after"), STARTED),
    ((LAUNCH, "start", "after"), STARTED),
    ((STORE, "Store.started", "after"), STARTED),
    (("squib.vmm.process_vm", "ProcessVm._read", "before"), STARTED),
    ((STORE, "Store.ready", "after"), STARTED),
    ((STORE, "Store.detached", "before"), STARTED),
)
# The steps of an end, by `rm --force`.
ENDS: tuple[tuple[tuple[str, str, str], set[str]], ...] = (
    (("squib.vmm.process_vm", "ProcessVm.kill", "after"), NETWORKED | {"folder"}),
    ((STORE, "Store.exited", "after"), NETWORKED - {"port"} | {"folder"}),
    (("squib.host.links", "delete", "after"), LEASED - {"port"} | {"rules", "folder"}),
    (("squib.host.nft", "apply", "after"), LEASED - {"port"} | {"folder"}),
    ((STORE, "Store.release_network", "before"), LEASED - {"port"} | {"folder"}),
    ((STORE, "Store.remove", "after"), set()),
)


def test_squib_is_killed_in_a_start(lab: Lab) -> None:
    for step, there in STARTS:
        lab.kill_at(step, "run", lab.artifact, *RUN)
        lab.comes_to(there, step)
        lab.nothing_left()
    assert lab.run()["urls"] == ["http://127.0.0.1:8080"]


def test_squib_is_killed_in_an_end(lab: Lab) -> None:
    for step, there in ENDS:
        lab.run()
        lab.kill_at(step, "rm", "--force", "clock")
        lab.comes_to(there, step)
        lab.squib("ps")
        assert lab.left() <= {"folder", "record"}, "where it was known that it had ended, that is told on"
        lab.squib("rm", "--all-ended")
        lab.nothing_left()


def test_squib_is_killed_while_it_cleans_up(lab: Lab) -> None:
    for step in (("squib.host.links", "delete", "after"), (STORE, "Store.release_network", "before")):
        lab.kill_at((LAUNCH, "start", "after"), "run", lab.artifact, *RUN)
        lab.kill_at(step, "ps")
        assert "lease" in lab.left()
        lab.nothing_left()


def test_squib_is_killed_in_a_restart(lab: Lab) -> None:
    lab.run()
    for step in ((STORE, "Store.revive", "after"), ("squib.host.links", "add_tap", "after"), (LAUNCH, "start", "after")):
        lab.kill_at(step, "restart", "clock")
        lab.squib("ps")
        assert lab.left() - {"folder"} == {"record"}
        assert "its squib was killed while it started it again" in lab.squib("inspect", "clock")
        lab.squib("restart", "clock")
        assert lab.left() == STARTED, "as it was"


def test_firecracker_is_killed(lab: Lab) -> None:
    pid = lab.run()["pid"]
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{pid}").exists())
    lab.squib("ps")
    assert lab.left() == {"folder", "record"}
    lab.squib("restart", "clock")
    assert lab.taps() == {"squib0"}


def test_firecracker_dies_in_a_start(lab: Lab) -> None:
    for request in ("socket", "/network-interfaces/eth0", "/actions:InstanceStart"):
        lab.firecracker(f"die:{request}")
        assert "Firecracker was killed by signal 9" in lab.squib("run", lab.artifact, *RUN, status=71)
        assert lab.left() == set(), (request, "by itself")


@contextmanager
def small(lab: Lab) -> Iterator[Path]:
    """The state is on a file-system with little room, on this host only; gives what fills it, to be removed."""
    where = f"{lab.folder}/state/squib"
    lab.host.run("mkdir", "-p", where)
    lab.host.run("mount", "-t", "tmpfs", "-o", "size=512k,mode=700", "state", where)
    try:
        yield lab.state / "ballast"
    finally:
        lab.host.run("umount", where)


FULL: tuple[tuple[str, set[str]], ...] = (
    ("Store.reserve", set()),
    ("Store.lease_network", NAMED),
    ("Store.started", LEASED),
    ("Store.ready", LEASED),
    ("Store.detached", LEASED),
)
"""Changes of a start, and what is still in the store where even its journal has no room; taps, rules, processes are not."""


def test_the_disk_is_full_at_a_change_of_a_start(lab: Lab) -> None:
    for step, known in FULL:
        with small(lab) as ballast:
            said = lab.at((STORE, step, "before"), "starve", "run", lab.artifact, *RUN, status=74)
            assert f"no space left to write {lab.folder}/state/squib/state.db\n  try: free some space" in said, step
            assert lab.left() == known, step
            ballast.unlink()
            lab.nothing_left()
            lab.run()
            lab.squib("rm", "--force", "clock")


def test_a_disk_too_full_for_a_console(lab: Lab) -> None:
    """It is said at once; or, where it fills up while the guest boots, in place of "the guest printed nothing"."""
    for step in ((LAUNCH, "make_run_dir", "before"), (LAUNCH, "_spawn", "after")):
        with small(lab):
            said = lab.at(step, "fill", "run", lab.artifact, *RUN, "--timeout", "2", status=74)
            assert f"no space left to write {lab.folder}/state/squib/machines/" in said, step
            lab.nothing_left()


def test_machines_end_on_a_full_disk(lab: Lab) -> None:
    for verb in (("stop",), ("rm", "--force")):
        with small(lab) as ballast:
            lab.run()
            lab.at((STORE, "Store.get", "before"), "fill", *verb, "clock", status=0)
            assert lab.left() <= {"folder", "record"}
            ballast.unlink()
            lab.squib("rm", "--all-ended")
            lab.run()
            assert "no space left" in lab.at((STORE, "Store.get", "before"), "starve", *verb, "clock", status=74)
            assert "process" not in lab.left(), "it has ended"
            assert "no space left" in lab.squib("ps", status=74)
            ballast.unlink()
            lab.squib("rm", "--all-ended")
            lab.nothing_left()


def test_the_record_of_the_host_has_no_room(lab: Lab) -> None:
    host = lab.host
    lab.squib("host", "teardown")
    before, settings = host.rules(), host.settings()
    host.run("mount", "-o", "remount,size=64k", "/run")
    save = ("squib.net.record", "Record.save", "before")
    assert "no space left to write /run/squib/host-" in lab.at(save, "fill", "host", "setup", status=74, folder="/run")
    assert (host.rules(), host.settings()) == (before, settings), "what cannot be written down is not done"
    host.run("rm", "/run/ballast")
    lab.squib("host", "setup")
    assert "no space left" in lab.at(save, "fill", "host", "setup", "--pool", "10.9.0.0/24", status=74, folder="/run")
    lab.run()
    assert lab.leased()[0].guest == "10.83.0.2", "it is set up as before"
    lab.squib("rm", "--force", "clock")
    host.run("rm", "/run/ballast")
    lab.squib("host", "check")


def test_nft_is_missing(lab: Lab) -> None:
    run = ("run", lab.artifact, *RUN, "--name")
    lab.run()
    nft = tool("nft")
    lab.host.run("mount", "--bind", "/dev/null", nft)
    said = lab.squib(*run, "host", "--network", "host", status=69)
    assert "the program nft is not installed\n  try: sudo apt-get install nftables" in said
    assert "(without a network" in lab.squib(*run, "auto"), "auto is what can be"
    lab.squib("rm", "--force", "auto")
    assert "nft is not installed" in lab.squib("stop", "clock", status=69)
    assert lab.processes() == []
    lab.host.run("umount", nft)
    lab.squib("ps")
    assert lab.left() == {"folder", "record"}


def test_the_uplink_goes_and_changes(lab: Lab) -> None:
    host, going = lab.host, lab.written("going", outbound=True)
    lab.run()
    host.run("ip", "link", "add", "up1", "type", "veth", "peer", "name", "far1")
    host.run("ip", "link", "set", "up1", "up")
    host.run("ip", "route", "replace", "default", "dev", "up1")
    assert "but the default route goes by up1 now" in lab.squib("host", "check")
    host.run("ip", "link", "set", "up0", "name", "away0")
    said = lab.squib("run", going, *RUN, "--outbound", status=66)
    assert "the network device up0, by which guests leave this host, is gone\n  try: sudo squib host setup" in said
    assert "up0 is gone" in lab.squib("host", "check", status=69)
    lab.run("--name", "inside")
    with lab.guest(0) as guest:
        guest.serve("10.83.0.2", 80)
        assert host.ask("127.0.0.1", 8080) == "10.83.0.1", "what is published here needs no uplink"
    lab.squib("host", "setup")
    lab.squib("rm", "--force", "clock", "inside")
    lab.rules = host.rules()
    assert lab.run("--outbound", artifact=going)["state"] == "running"
    host.run("ip", "link", "set", "away0", "name", "up0")


def foreign(host: Namespace, words: str) -> None:
    host.run("ip", *words.split())
    if "user" in words:  # whoever may open it uses it; one that nobody may and that is down could not be squib's either
        host.run("ip", "link", "set", "squib0", "up")


def test_somebody_elses_device_bears_the_name(lab: Lab) -> None:
    """It is neither used nor removed: one that is there before, and one that comes where a killed squib left a lease."""
    host = lab.host
    for words in (
        "tuntap add squib0 mode tap",
        "tuntap add squib0 mode tap user 65534",
        "link add squib0 type veth peer name far0",
    ):
        foreign(host, words)
        lab.run()
        assert [tap for tap, _, _ in lab.leases()] == ["squib1"]
        lab.squib("rm", "--force", "clock")
        assert lab.taps() == {"squib0"}
        host.run("ip", "link", "del", "squib0")
        lab.kill_at(("squib.host.nft", "apply", "after"), "run", lab.artifact, *RUN)
        assert [tap for tap, _, _ in lab.leases()] == ["squib0"]
        foreign(host, words)
        lab.squib("ps")
        assert lab.left() == {"tap"}, words
        host.run("ip", "link", "del", "squib0")


def test_a_tap_that_was_half_made_goes(lab: Lab) -> None:
    lab.kill_at(("squib.host.sysctl", "read", "before"), "run", lab.artifact, *RUN)
    assert lab.taps() == {"squib0"}
    lab.host.run("ip", "link", "set", "squib0", "alias", "")
    lab.nothing_left()
