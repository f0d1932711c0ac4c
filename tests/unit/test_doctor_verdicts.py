"""What doctor makes of findings that are made up here: the level, the words that matter, and the command to paste."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from squib.app import verdicts
from squib.model.findings import (
    BillLibraryFound,
    DatabaseFound,
    DeviceFound,
    FirecrackerFound,
    FolderFound,
    JailerFound,
    KernelBuildFound,
    KernelFound,
    KvmFound,
    Level,
    MemoryFound,
    NamespacesFound,
    PackageFound,
    ProgramFound,
    PythonFound,
    QemuFound,
    Row,
    SystemFound,
    TunedFound,
    Unlooked,
    User,
)

ANN = User("ann", root=False, has_apt=True)
ODD = User("o'neil x", root=False, has_apt=True)
ROOT = User("root", root=True, has_apt=True)
FEDORA = User("ann", root=False, has_apt=False)

QEMU = ProgramFound("qemu-system-x86_64", "qemu-system-x86", Path("/usr/bin/qemu-system-x86_64"), "7.2.22")
KVM = DeviceFound(Path("/dev/kvm"), "root:kvm 0660", "", "")
MAY_NOT = replace(KVM, problem="this user may not open /dev/kvm", hint="sudo setfacl -m u:$USER:rw /dev/kvm")
TUN = DeviceFound(Path("/dev/net/tun"), "root:root 0666", "", "")
MIB = 1 << 20
CACHE = FolderFound("cache", Path("/home/ann/.cache/squib"), Path("/home/ann/.cache/squib"), 0o755, "", 9000 * MIB)
STATE = FolderFound("state", Path("/home/ann/.local/state/squib"), Path("/home/ann/.local/state/squib"), 0o700, "", 9000 * MIB)
DENIED = os.strerror(13)


def check(row: Row, level: Level, found: str, remedy: str = "") -> None:
    assert (row.level, row.remedy) == (level, remedy)
    assert found in row.found
    assert "\n" not in row.found + row.remedy


@pytest.mark.parametrize(
    ("found", "level", "said"),
    [
        (SystemFound("Linux", "x86_64", "6.1.0-13-amd64", "Debian"), Level.OK, "Debian, Linux 6.1.0-13-amd64, x86_64"),
        (SystemFound("Linux", "x86_64", "5.4.0", "Ubuntu"), Level.OK, "5.4.0"),
        (SystemFound("Linux", "x86_64", "strange", "X"), Level.OK, "strange"),
        (SystemFound("Linux", "x86_64", "4.19.0-6-amd64", "Debian"), Level.MISSING, "needs Linux 5.4"),
        (SystemFound("Linux", "aarch64", "6.1.0", "Debian"), Level.MISSING, "needs Linux on x86_64"),
        (SystemFound("Darwin", "x86_64", "23.0", "macOS"), Level.MISSING, "needs Linux on x86_64"),
    ],
)
def test_system(found: SystemFound, level: Level, said: str) -> None:
    row = verdicts.system(found)
    assert (row.level, said in row.found) == (level, True)
    assert bool(row.remedy) == (level is not Level.OK)


@pytest.mark.parametrize(("version", "level"), [((3, 10, 9), "warning"), ((3, 11, 0), "ok"), ((3, 13, 9), "ok"), ((3, 14, 0), "warning")])  # fmt: skip
def test_python(version: tuple[int, int, int], level: str) -> None:
    assert verdicts.python(PythonFound(version, "/usr/bin/python3", ())).level.value == level


def test_python_packages() -> None:
    found = PythonFound((3, 11, 2), "/opt/my venv/python", (PackageFound("click", "8.1"), PackageFound("rich", "")))
    check(verdicts.packages(found), Level.OK, "click 8.1, rich")
    broken = replace(found, packages=(*found.packages, PackageFound("lz4", None), PackageFound("httptools", None)))
    check(verdicts.packages(broken), Level.MISSING, "lz4, httptools", "'/opt/my venv/python' -m pip install lz4 httptools")


def test_programs() -> None:
    gone = ProgramFound("mke2fs", "e2fsprogs", None)
    check(verdicts.program(gone, ANN), Level.MISSING, "not installed", "sudo apt-get install e2fsprogs")
    check(verdicts.program(gone, ROOT), Level.MISSING, "not installed", "apt-get install e2fsprogs")
    check(verdicts.program(gone, ANN, needed=False, use="for x"), Level.WARNING, "not installed: for x", "sudo apt-get install e2fsprogs")  # fmt: skip
    assert "apt-get" not in verdicts.program(gone, FEDORA).remedy
    assert "e2fsprogs" in verdicts.program(gone, FEDORA).remedy
    broken = ProgramFound("mke2fs", "e2fsprogs", Path("/sbin/mke2fs"), problem="exit status 127")
    check(verdicts.program(broken, ANN), Level.MISSING, "/sbin/mke2fs does not run: exit status 127", "sudo apt-get install --reinstall e2fsprogs")  # fmt: skip
    check(verdicts.program(QEMU, ANN), Level.OK, "7.2.22 (/usr/bin/qemu-system-x86_64)")


def test_qemu() -> None:
    again = "sudo apt-get install --reinstall qemu-system-x86"
    check(verdicts.qemu(QemuFound(QEMU), ANN), Level.OK, "with its sandbox")
    check(verdicts.qemu(QemuFound(replace(QEMU, path=None)), ANN), Level.MISSING, "not installed", "sudo apt-get install qemu-system-x86")  # fmt: skip
    check(verdicts.qemu(QemuFound(replace(QEMU, problem="signal 11")), ANN), Level.MISSING, "signal 11", again)
    no_sandbox = QemuFound(QEMU, "failed", "qemu: -sandbox on: sandbox support is not enabled in this QEMU")
    check(verdicts.qemu(no_sandbox, ANN), Level.MISSING, "without its sandbox", again)
    no_firmware = QemuFound(QEMU, "failed (exit status 1)", "a\nqemu: could not load PC BIOS 'bios-256k.bin'")
    check(verdicts.qemu(no_firmware, ANN), Level.MISSING, "could not load PC BIOS", again)
    check(verdicts.qemu(QemuFound(QEMU, "did not end within 20 s"), ANN), Level.MISSING, "did not end", again)


def test_guest_kernel() -> None:
    cached = KernelFound("6.1.0-56-cloud-amd64", "package linux-image", "", lists=True, apt=True)
    check(verdicts.kernel(cached, ANN), Level.OK, "6.1.0-56-cloud-amd64, cached")
    check(
        verdicts.kernel(KernelFound("", "", "linux-image-cloud-amd64 6.1", lists=True, apt=True), ANN),
        Level.OK,
        "downloaded once",
    )
    check(
        verdicts.kernel(KernelFound("", "", "", lists=False, apt=True), ANN), Level.MISSING, "no lists", "sudo apt-get update"
    )
    check(
        verdicts.kernel(KernelFound("", "", "", lists=True, apt=True), ROOT), Level.MISSING, "knows no kernel", "apt-get update"
    )
    row = verdicts.kernel(KernelFound("", "", "", lists=False, apt=False), FEDORA)
    assert row.level is Level.MISSING
    assert "--kernel PATH" in row.remedy


def test_kvm_is_never_missing_for_there_is_emulation() -> None:
    setfacl = "setfacl -m u:ann:rw /dev/kvm"
    check(verdicts.kvm(KvmFound(MAY_NOT, "kvm_intel", hardware=True), ANN), Level.WARNING, "may not open /dev/kvm (root:kvm 0660)", f"sudo {setfacl}")  # fmt: skip
    assert verdicts.kvm(KvmFound(MAY_NOT, "", hardware=False), ODD).remedy == "sudo setfacl -m u:'o'\"'\"'neil x':rw /dev/kvm"
    assert verdicts.kvm(KvmFound(MAY_NOT, "", hardware=False), ROOT).remedy == "setfacl -m u:root:rw /dev/kvm"
    works = KvmFound(KVM, "kvm_amd", hardware=True, works=True, trial="a trial boot of this kernel spoke after 180 ms")
    check(verdicts.kvm(works, ANN), Level.OK, "spoke after 180 ms (driver kvm_amd; root:kvm 0660)")
    again = "squib doctor --retry tries anew, after a change of this host"
    retry = f"run squib on a host with hardware virtualisation, its own or nested; {again}"
    useless = KvmFound(KVM, "kvm_pvm", hardware=False, works=False, trial="a trial boot of this kernel showed nothing in 2.5 s")
    check(verdicts.kvm(useless, ANN), Level.WARNING, "showed nothing in 2.5 s (driver kvm_pvm, no hardware behind it", retry)
    check(verdicts.kvm(replace(useless, kept=True), ANN), Level.WARNING, "as tried before", retry)
    flawed = verdicts.kvm(replace(useless, hardware=True), ANN)
    check(flawed, Level.WARNING, "showed nothing", again)
    untried = KvmFound(KVM, "", hardware=False, untried="no guest kernel is cached yet", hint="squib demo")
    check(verdicts.kvm(untried, ANN), Level.WARNING, "no trial boot: no guest kernel is cached yet", "squib demo")


def test_tun_and_namespaces_are_for_later() -> None:
    check(verdicts.tun(TUN, ANN), Level.OK, "opens")
    gone = replace(TUN, who="", problem="there is no /dev/net/tun", hint="sudo modprobe tun")
    check(verdicts.tun(gone, ANN), Level.WARNING, "there is no /dev/net/tun", "sudo modprobe tun")
    denied = replace(TUN, problem="this user may not open /dev/net/tun", hint="sudo setfacl -m u:$USER:rw /dev/net/tun")
    check(verdicts.tun(denied, ANN), Level.WARNING, "may not open", "sudo setfacl -m u:ann:rw /dev/net/tun")
    check(verdicts.namespaces(NamespacesFound("", ()), ANN), Level.OK, "can be made")
    check(verdicts.namespaces(NamespacesFound("Invalid argument", (("user.max_user_namespaces", 100),)), ANN), Level.WARNING, "Invalid argument")  # fmt: skip


def test_one_way_out_is_enough() -> None:
    pasta, slirp = ProgramFound("pasta", "passt", Path("/usr/bin/pasta")), ProgramFound("slirp4netns", "passt", None)
    there = replace(slirp, path=Path("/usr/bin/slirp4netns"), version="1.2.0")
    check(verdicts.way_out((pasta, slirp), ANN), Level.OK, "pasta (/usr/bin/pasta)")
    check(
        verdicts.way_out((replace(pasta, problem="exit status 1"), there), ANN),
        Level.OK,
        "slirp4netns 1.2.0 (/usr/bin/slirp4netns)",
    )
    check(verdicts.way_out((replace(pasta, path=None), slirp), ANN), Level.WARNING, "neither pasta nor slirp4netns", "sudo apt-get install passt")  # fmt: skip
    broken = verdicts.way_out((replace(pasta, problem="exit status 1"), slirp), ANN)
    check(broken, Level.WARNING, "does not run: exit status 1", "sudo apt-get install --reinstall passt")


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ((("user.max_user_namespaces", 0),), "sudo sysctl user.max_user_namespaces=15000"),
        ((("user.max_user_namespaces", 9), ("kernel.unprivileged_userns_clone", 0)), "sudo sysctl kernel.unprivileged_userns_clone=1"),
        ((("kernel.apparmor_restrict_unprivileged_userns", 1),), "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"),
    ],
)  # fmt: skip
def test_what_forbids_user_namespaces_is_named(settings: tuple[tuple[str, int], ...], remedy: str) -> None:
    check(verdicts.namespaces(NamespacesFound("Operation not permitted", settings), ANN), Level.WARNING, "because", remedy)


def test_folders() -> None:
    check(verdicts.folder(CACHE, ANN), Level.OK, "8.8 GiB free")
    new = replace(STATE, nearest=Path("/home/ann"), mode=None)
    check(verdicts.folder(new, ANN), Level.OK, "not made yet")
    check(verdicts.folder(replace(CACHE, problem=DENIED), ANN), Level.MISSING, "may not write to /home/ann/.cache/squib", "sudo chown -R ann /home/ann/.cache/squib")  # fmt: skip
    check(verdicts.folder(replace(new, problem=DENIED), ANN), Level.MISSING, "may not write to /home/ann", "sudo install -d -m 700 -o ann /home/ann/.local/state/squib")  # fmt: skip
    check(verdicts.folder(replace(CACHE, problem="Read-only file system"), ANN), Level.MISSING, "Read-only", "ls -ld /home/ann/.cache/squib; df -h /home/ann/.cache/squib")  # fmt: skip
    check(verdicts.folder(replace(CACHE, free_bytes=100 * MIB), ANN), Level.MISSING, "less than 192 MiB", "df -h /home/ann/.cache/squib")  # fmt: skip
    check(verdicts.folder(replace(CACHE, free_bytes=900 * MIB), ANN), Level.WARNING, "less than 1.0 GiB", "df -h /home/ann/.cache/squib")  # fmt: skip
    check(verdicts.folder(replace(STATE, free_bytes=900 * MIB), ANN), Level.OK, "900 MiB free")
    check(verdicts.folder(replace(STATE, mode=0o750), ANN), Level.WARNING, "look into it (0750)", "chmod 700 /home/ann/.local/state/squib")  # fmt: skip
    check(
        verdicts.folder(replace(CACHE, mode=0o777), ANN),
        Level.WARNING,
        "write to it (0777)",
        "chmod 700 /home/ann/.cache/squib",
    )
    check(verdicts.folder(replace(CACHE, path=Path("/a b"), nearest=Path("/a b"), problem=DENIED), ANN), Level.MISSING, "/a b", "sudo chown -R ann '/a b'")  # fmt: skip


def test_the_record_of_machines_and_memory() -> None:
    check(verdicts.database(DatabaseFound(Path("/s"), None, "", "")), Level.OK, "none was started yet")
    check(verdicts.database(DatabaseFound(Path("/s"), 3, "", "")), Level.OK, "3 in /s")
    check(verdicts.database(DatabaseFound(Path("/s"), None, "/s is damaged", "mv /s /t")), Level.MISSING, "damaged", "mv /s /t")
    check(verdicts.memory(MemoryFound(2000, 4000)), Level.OK, "2000 MiB of 4000 MiB")
    assert verdicts.memory(MemoryFound(300, 4000)).level is Level.WARNING
    assert verdicts.memory(MemoryFound(100, 4000)).level is Level.MISSING


def test_a_failed_look_counts_as_what_it_looked_for() -> None:
    check(verdicts.unlooked("x", Unlooked("no answer within 5 s", "df -h"), needed=True), Level.MISSING, "no answer", "df -h")
    check(verdicts.unlooked("x", Unlooked("why"), needed=False), Level.WARNING, "could not be looked at: why")


def test_firecracker() -> None:
    program = ProgramFound("firecracker", "", Path("/opt/my fc/firecracker"), "1.12.1")
    none = verdicts.firecracker(FirecrackerFound(replace(program, path=None), fetched=False, digest_from=""))
    check(none, Level.WARNING, "machines run in QEMU", "squib fetch firecracker")
    fetched = verdicts.firecracker(FirecrackerFound(program, fetched=True, digest_from="a wheel"))
    check(fetched, Level.OK, "1.12.1 (/opt/my fc/firecracker, fetched by squib); its digest is that of a wheel")
    own = verdicts.firecracker(FirecrackerFound(program, fetched=False, digest_from=""))
    check(own, Level.WARNING, "squib does not know its digest", "squib fetch firecracker")
    broken = verdicts.firecracker(FirecrackerFound(replace(program, problem="no"), fetched=True, digest_from=""))
    check(broken, Level.WARNING, "does not run: no", "rm '/opt/my fc/firecracker'")


def test_the_tuned_kernel_is_never_missing() -> None:
    assert verdicts.tuned_kernel(TunedFound("6.1-squib")).found == "6.1-squib, for --kernel tuned"
    row = verdicts.tuned_kernel(TunedFound(""))
    assert (row.level, row.remedy) == (Level.OK, "")
    assert row.found == "none is built; optional: squib kernel build"


def test_what_only_some_verbs_need() -> None:
    check(verdicts.kernel_build(KernelBuildFound(()), ANN), Level.OK, "all that squib kernel build needs")
    lacking = KernelBuildFound(("bc", "flex"))
    check(
        verdicts.kernel_build(lacking, ANN),
        Level.WARNING,
        "not installed: bc, flex; only squib",
        "sudo apt-get install bc flex",
    )
    check(
        verdicts.kernel_build(lacking, replace(ANN, has_apt=False)),
        Level.WARNING,
        "bc, flex",
        "install with this system's package manager what these packages of Debian's hold",
    )
    check(verdicts.bill_library(BillLibraryFound(PackageFound("lib", "11.1"), "get it")), Level.OK, "lib 11.1")
    none = verdicts.bill_library(BillLibraryFound(PackageFound("lib", None), "get it"))
    check(none, Level.WARNING, "lib is not installed: only --sbom needs it", "get it")


@pytest.mark.parametrize(
    ("firecracker", "jailer", "limits", "level", "says", "remedy"),
    [
        ("/b/firecracker", "/b/jailer", "/c", Level.OK, "/b/jailer; its limits by /c", ""),
        ("/b/firecracker", "/b/jailer", None, Level.WARNING, "no cgroup v2 with cpu, pids: root's Firecracker needs --no-jailer", "boot with"),
        ("/b/firecracker", None, "/c", Level.WARNING, "there is no jailer beside /b/firecracker", "squib fetch firecracker"),
        (None, None, None, Level.WARNING, "there is no Firecracker here; no cgroup v2 with cpu, pids: ", "squib fetch firecracker"),
    ],
)  # fmt: skip
def test_jailer(firecracker: str | None, jailer: str | None, limits: str | None, level: Level, says: str, remedy: str) -> None:
    program, beside, top = (Path(one) if one else None for one in (firecracker, jailer, limits))
    row = verdicts.jailer(JailerFound(program, beside, top, ("cpu", "pids")))
    assert row.level is level
    assert says in row.found
    assert remedy in row.remedy
