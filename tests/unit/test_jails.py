"""Jails as far as they are pure or small: who is in one, what it may take, what is carried in, and what keeps and removes it."""

from __future__ import annotations

import errno
import functools
import os
import select
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firecracker_machines import MACHINES
from squib.app.vm import session
from squib.errors import HostError, TakenError, UnavailableError, UsageError
from squib.host import cgroups, netns, ports
from squib.host.held import hold
from squib.model.jail import FIRST_UID, UIDS, Jail, free_uid, limits
from squib.model.machine import VmmKind
from squib.model.run import RunSpec
from squib.store import Store
from squib.vmm.firecracker import jail as jails
from squib.vmm.firecracker import jail_plan
from squib.wire.firecracker.resources import FullVmConfiguration
from support import golden, waited_for

PROGRAMS = {"jailer": Path("/usr/bin/jailer"), "program": Path("/usr/bin/firecracker"), "base": Path("/var/lib/run/jail")}


def test_golden(update_golden: bool) -> None:
    jail = Jail("0123456789ab", FIRST_UID, FIRST_UID, limits(mem_size_mib=128, vcpu_count=2))
    line = jail_plan.argv(jail, ("--api-sock", "api.sock"), **PROGRAMS, netns="/proc/7/fd/8")
    bare = jail_plan.argv(Jail("one", 10, 11), (), **PROGRAMS, netns=None)
    golden("jailer-argv.txt", "".join(f"{one}\n" for words in (line, bare) for one in (*words, "")), update=update_golden)


@given(MACHINES)
def test_all_that_a_machine_names_is_carried_in_once_and_by_a_name_without_folders(machine: FullVmConfiguration) -> None:
    within, files = jail_plan.inside(machine)
    again, theirs = jail_plan.inside(within)
    names = {file.name for file in files}
    assert all("/" not in name for name in names)
    assert {file.name for file in theirs} == {file.source for file in theirs} == names
    assert again == within
    # Drives may share an identifier in what hypothesis makes; Firecracker refuses that.
    named = [drive.path_on_host for drive in machine.drives if drive.path_on_host is not None]
    assert machine.boot_source.kernel_image_path in {file.source for file in files}
    assert set(named) <= {file.source for file in files}
    written = {file.source for file in files if file.written}
    assert {drive.path_on_host for drive in machine.drives if not drive.is_read_only and drive.path_on_host} <= written


@given(st.integers(1, 1 << 20), st.integers(1, 32))
def test_limits_leave_room_for_the_guest_and_its_vmm(mem_size_mib: int, vcpu_count: int) -> None:
    values = dict(limits(mem_size_mib=mem_size_mib, vcpu_count=vcpu_count))
    assert int(values["memory.max"]) >= (mem_size_mib + 32) << 20
    assert int(values["pids.max"]) > vcpu_count + 2
    quota, period = map(int, values["cpu.max"].split())
    assert quota == vcpu_count * period


def test_users_are_never_shared() -> None:
    assert free_uid("0", (), ()) == FIRST_UID
    assert free_uid("0", {FIRST_UID}, {FIRST_UID + 1}) == FIRST_UID + 2
    assert free_uid("aaaa0000ffff", {FIRST_UID + 0xFFFF}, ()) == FIRST_UID, "the range is a ring"
    with pytest.raises(TakenError, match="all 65,536"):
        free_uid("7", range(FIRST_UID, FIRST_UID + UIDS), ())


def test_leases_of_users(tmp_path: Path) -> None:
    with Store(tmp_path) as store, Store(tmp_path) as other:
        assert store.lease_jail("a", lambda leased: 7 + len(leased)) == 7
        assert other.lease_jail("b", lambda leased: 7 + len(leased)) == 8
        assert store.lease_jail("a", lambda _: 99) == 7, "it has one"
        assert other.jail_leases() == {"a": 7, "b": 8}
        store.release_jail("a")
        store.release_jail("a")
        assert other.jail_leases() == {"b": 8}


def test_who_is_jailed(monkeypatch: pytest.MonkeyPatch) -> None:
    from squib.app import jailing

    monkeypatch.setattr(cgroups, "check", lambda _: None)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert jailing.wanted(RunSpec(), VmmKind.FIRECRACKER)
    assert not jailing.wanted(RunSpec(no_jailer=True), VmmKind.FIRECRACKER)
    assert not jailing.wanted(RunSpec(), VmmKind.QEMU)
    with pytest.raises(UsageError, match="--no-jailer goes with Firecracker"):
        jailing.wanted(RunSpec(no_jailer=True), VmmKind.QEMU)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert not jailing.wanted(RunSpec(), VmmKind.FIRECRACKER)


def test_a_jail_that_stays_keeps_nobody_from_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from squib.app import jailing

    def stuck(parent: str, name: str) -> None:
        if name == "a":
            raise HostError("the cgroup stays")

    monkeypatch.setattr(cgroups, "remove", stuck)
    with Store(tmp_path) as store:
        store.lease_jail("a", lambda _: 7)
        store.lease_jail("b", lambda _: 8)
        jailing.Jails(store).tidy()
        assert store.jail_leases() == {"a": 7}, "nobody gets its user"
        monkeypatch.undo()
        jailing.Jails(store).tidy()
        assert store.jail_leases() == {}


def mounts(folder: Path, controllers: str) -> Path:
    (folder / "top").mkdir()
    (folder / "top/cgroup.controllers").write_text(controllers)
    (folder / "mounts").write_text(f"proc /proc proc rw 0 0\ncgroup2 {folder}/top cgroup2 rw 0 0\n")
    return folder / "mounts"


def test_cgroups_that_are_there(tmp_path: Path) -> None:
    listed = mounts(tmp_path, "cpuset cpu io memory pids")
    cgroups.check("squib run --no-jailer", listed)
    assert cgroups.find(listed) == tmp_path / "top"
    (tmp_path / "top/squib/one").mkdir(parents=True)
    (tmp_path / "top/squib/two").mkdir()
    cgroups.remove("squib", "one", listed)
    cgroups.remove("squib", "one", listed)
    cgroups.remove_parent("squib", listed)
    assert [path.name for path in (tmp_path / "top/squib").iterdir()] == ["two"], "others are in it"
    cgroups.remove("squib", "two", listed)
    cgroups.remove_parent("squib", listed)
    cgroups.remove_parent("squib", listed)
    assert not (tmp_path / "top/squib").exists()


@pytest.mark.parametrize("controllers", ["", "cpu memory", "cpuset"])
def test_cgroups_that_are_not(tmp_path: Path, controllers: str) -> None:
    listed = mounts(tmp_path, controllers)
    with pytest.raises(UnavailableError, match="no cgroup v2 with cpu, memory, pids") as caught:
        cgroups.check("squib run --no-jailer", listed)
    assert "--no-jailer" in caught.value.hint
    cgroups.remove("squib", "one", listed)


def test_a_cgroup_that_stays_is_told(tmp_path: Path) -> None:
    listed = mounts(tmp_path, "cpu memory pids")
    (tmp_path / "top/squib/one/below").mkdir(parents=True)
    with pytest.raises(HostError, match="cannot be removed"):
        cgroups.remove("squib", "one", listed)


def bind(port: int) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))


def test_ports_are_kept_by_whoever_has_the_keeper(tmp_path: Path) -> None:
    """300 of them: more than one message carries."""
    holders = [ports.hold(IPv4Address("127.0.0.1"), 0) for _ in range(300)]
    numbers = [holder.getsockname()[1] for holder in holders]
    with ports.keeper(holders, tmp_path) as keeper:
        assert list(tmp_path.iterdir()) == []
        for holder in holders:
            holder.close()
        with waited_for(
            subprocess.Popen(
                ["/bin/cat", "/dev/stdin"], stdin=keeper.fileno(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        ) as cat:
            cat.wait()  # it cannot read that
        child = subprocess.Popen(["/bin/sleep", "60"], stdin=keeper.fileno())
    try:
        for port in (numbers[0], numbers[253], numbers[-1]):
            with pytest.raises(OSError, match="in use"):
                bind(port)
    finally:
        child.kill()
        child.wait()
    for port in numbers:
        bind(port)


def test_a_held_port_in_other_hands_hears_nothing(tmp_path: Path) -> None:
    """A Firecracker that was taken over accepts what was kept for it: sockets of the host's network, which its own is not."""
    with socket.create_server(("127.0.0.1", 0)) as service, ports.hold(IPv4Address("127.0.0.1"), 0) as holder:
        with ports.keeper([holder], tmp_path) as keeper:
            taken, _ = keeper.accept()
            with taken:
                _, (descriptor,), _, _ = socket.recv_fds(taken, 1, 1)
        with socket.socket(fileno=descriptor) as theirs:
            theirs.setblocking(False)
            assert theirs.connect_ex(service.getsockname()) == errno.EINPROGRESS
            for option in (26, 27):  # another filter, none
                with pytest.raises(OSError, match="not permitted"):
                    theirs.setsockopt(socket.SOL_SOCKET, option, bytes(16) if option == 26 else 0)
            # The service's answer is dropped: it waits for the end of a handshake that never comes.
            service.settimeout(1.0)
            with pytest.raises(TimeoutError):
                service.accept()
            assert select.select([], [theirs], [], 0) == ([], [], [])


def put_nothing(metrics: Path, secret: Path) -> None:
    assert secret.exists()
    assert metrics.exists()


def put_link(metrics: Path, secret: Path) -> None:
    metrics.rename(metrics.with_name("away"))
    metrics.symlink_to(secret)


def put_hard_link(metrics: Path, secret: Path) -> None:
    metrics.unlink()
    metrics.hardlink_to(secret)


def put_folder(metrics: Path, secret: Path) -> None:
    """In place of the one that it is in."""
    metrics.parent.rename(metrics.parent.with_name("away"))
    metrics.parent.symlink_to(secret.parent)
    secret.rename(secret.with_name(metrics.name))


@pytest.mark.root
@pytest.mark.parametrize("put", [put_nothing, put_link, put_hard_link, put_folder])
def test_only_what_squib_made_is_given_to_a_jail(tmp_path: Path, put: Callable[[Path, Path], None]) -> None:
    """Where squib makes a FIFO, others may own the folder."""
    root, metrics, secret = tmp_path / "jail/root", tmp_path / "run/metrics", tmp_path / "etc/shadow"
    for folder in (root, metrics.parent, secret.parent):
        folder.mkdir(parents=True)
    secret.write_text("of root")
    os.mkfifo(metrics, 0o600)
    with hold(metrics) as held, hold(secret) as kept:
        put(metrics, secret)
        carried = (jail_plan.Carried(str(metrics), "metrics", written=True),)
        fill = functools.partial(jails.fill, root, carried, Jail("one", 10, 11), folder=tmp_path, program=Path("/bin/true"))
        if put is put_nothing:
            fill(made={str(metrics): held})
            there = (root / "metrics").lstat()
            assert (stat.S_ISFIFO(there.st_mode), there.st_uid, there.st_gid) == (True, 10, 11)
        else:
            with pytest.raises(TakenError, match="no longer the file that squib made") as caught:
                fill(made={str(metrics): held})
            assert "nobody else may write" in caught.value.hint
            assert list(root.iterdir()) == []
        assert os.fstat(kept).st_uid == 0


def test_a_fifo_goes_and_what_others_put_in_its_place_stays(tmp_path: Path) -> None:
    path = tmp_path / "metrics"
    with session._fifo(path):
        assert path.is_fifo()
    assert not path.exists()
    with session._fifo(path):
        path.unlink()
        path.touch()
    assert path.is_file()


def test_a_fifo_that_was_replaced_at_once_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "mkfifo", lambda path, _: path.symlink_to("/etc/passwd"))
    with pytest.raises(TakenError, match="is not the FIFO that squib made"), session._fifo(tmp_path / "metrics"):
        pytest.fail("it is somebody else's")


@pytest.mark.root
def test_work_in_an_empty_network() -> None:
    here = [name for _, name in socket.if_nameindex()]
    with netns.empty() as namespace:
        assert netns.inside(namespace, lambda: [name for _, name in socket.if_nameindex()]) == ["lo"]
        with pytest.raises(UsageError, match="as it is"):
            netns.inside(namespace, lambda: (_ for _ in ()).throw(UsageError("as it is")))
    assert [name for _, name in socket.if_nameindex()] == here


@pytest.mark.root
def test_whoever_may_not_have_a_network_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    line = ["setpriv", "--reuid", "65534", "--clear-groups", sys.executable, "-c",
            "from squib.host import netns\ntry:\n    with netns.empty(): pass\nexcept Exception as e: print(type(e).__name__)"]  # fmt: skip
    assert subprocess.run(line, capture_output=True, text=True, check=True).stdout == "PermissionDeniedError\n"


@pytest.mark.parametrize(("end", "done"), [("pass", ""), ("os.kill(os.getpid(), 9)", "done"), ("raise SystemExit(3)", "")])
def test_what_is_done_if_we_are_killed(tmp_path: Path, end: str, done: str) -> None:
    path = tmp_path / "said"
    path.touch()
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom squib.host.afterwards import if_we_are_killed\n"
        f"with if_we_are_killed(lambda: Path({str(path)!r}).write_text('done') and None):\n    {end}\n"
    )
    with waited_for(subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)) as process:
        assert process.stdout is not None
        process.stdout.read()  # its child has it too: the end of both
    assert path.read_text() == done
    assert process.returncode in {0, 3, -signal.SIGKILL}


def test_an_interrupt_is_for_the_parent(tmp_path: Path) -> None:
    code = (
        "import os, signal, time\nfrom pathlib import Path\nfrom squib.host.afterwards import if_we_are_killed\n"
        f"with if_we_are_killed(lambda: Path({str(tmp_path / 'done')!r}).touch()):\n"
        # Not signal.pause(): the interrupt may come just before it, and then it waits for another one.
        "    print(flush=True)\n    while True:\n        time.sleep(0.01)\n"
    )
    with waited_for(subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        process.stdout.read()
    assert not (tmp_path / "done").exists()
