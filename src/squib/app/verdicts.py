"""What `squib doctor` makes of what it found: each function takes a finding and gives a row. Pure: nothing is looked at here.

MISSING is what some verb of squib cannot do without, WARNING what makes it slower, tighter, or less than it could be.
"""

from __future__ import annotations

import errno
import os
import re
import shlex

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
    ProgramFound,
    PythonFound,
    QemuFound,
    Row,
    SystemFound,
    TunedFound,
    Unlooked,
    User,
)
from squib.model.units import MIB

__all__ = [
    "bill_library",
    "database",
    "firecracker",
    "folder",
    "kernel",
    "kernel_build",
    "kvm",
    "memory",
    "namespaces",
    "packages",
    "program",
    "python",
    "qemu",
    "system",
    "tun",
    "tuned_kernel",
    "unlooked",
    "way_out",
]

_NEEDS_NAMESPACES = "only a plain user's Firecracker, and squib run --outbound in QEMU, need them, for a network"
_NEEDS_WAY_OUT = "only a plain user's Firecracker, and squib run --outbound in QEMU, need one, for a network"
_FIRST_LINUX = (5, 4)
_FIRST_PYTHON, _PAST_PYTHON = (3, 11), (3, 14)
_MEMORY_MIB = {Level.MISSING: 192, Level.WARNING: 512}
_SPACE = {
    "cache": {Level.MISSING: 192 * MIB, Level.WARNING: 1024 * MIB},
    "state": {Level.MISSING: 8 * MIB, Level.WARNING: 256 * MIB},
}
"""Less than this is too little: a kernel, what it came from and two artifacts are about 150 MB; a machine's logs a few."""

_FORBIDS = {
    "user.max_user_namespaces": (0, 15000),
    "kernel.unprivileged_userns_clone": (0, 1),
    "kernel.apparmor_restrict_unprivileged_userns": (1, 0),
}
"""sysctl → the value with which it forbids user namespaces, and one with which it does not."""


def unlooked(name: str, found: Unlooked, *, needed: bool) -> Row:
    """A look that failed."""
    level = Level.MISSING if needed else Level.WARNING
    return Row(name, level, f"could not be looked at: {found.why}", found.hint, unseen=True)


def system(found: SystemFound) -> Row:
    """The host's kernel and processor."""
    says = f"{found.name}, {found.os} {found.kernel}, {found.machine}"
    if (found.os, found.machine) != ("Linux", "x86_64"):
        return Row("system", Level.MISSING, f"{says}: squib needs Linux on x86_64", "use an x86-64 Linux host")
    version = re.match(r"(\d+)\.(\d+)", found.kernel)
    if version and (int(version[1]), int(version[2])) < _FIRST_LINUX:
        return Row("system", Level.MISSING, f"{says}: squib needs Linux 5.4 or newer", "use a newer kernel on this host")
    return Row("system", Level.OK, says)


def python(found: PythonFound) -> Row:
    """The interpreter."""
    says = f"{'.'.join(map(str, found.version))} ({found.executable})"
    if _FIRST_PYTHON <= found.version[:2] < _PAST_PYTHON:
        return Row("python", Level.OK, says)
    return Row("python", Level.WARNING, f"{says}: squib was tried with 3.11 to 3.13", "run squib with one of these")


def packages(found: PythonFound) -> Row:
    """What squib imports."""
    missing = [package.name for package in found.packages if package.version is None]
    if missing:
        remedy = f"{shlex.quote(found.executable)} -m pip install {' '.join(missing)}"
        return Row("python packages", Level.MISSING, f"not to be imported: {', '.join(missing)}", remedy)
    return Row("python packages", Level.OK, ", ".join(f"{p.name} {p.version}".strip() for p in found.packages))


def program(found: ProgramFound, user: User, *, needed: bool = True, use: str = "") -> Row:
    """A program that squib starts; `use` says what for, where it is not needed."""
    level = Level.MISSING if needed else Level.WARNING
    if found.path is None:
        return Row(found.name, level, f"not installed{f': {use}' if use else ''}", _install(found, user))
    if found.problem:
        return Row(found.name, level, f"{found.path} does not run: {found.problem}", _install(found, user, again=True))
    return Row(found.name, Level.OK, f"{found.version} ({found.path})".strip())


def firecracker(found: FirecrackerFound) -> Row:
    """Firecracker, which machines run in where KVM works; QEMU is there for all of them."""
    program = found.program
    if program.path is None:
        return Row("firecracker", Level.WARNING, "not installed: machines run in QEMU", "squib fetch firecracker")
    where = f"{program.path}{', fetched by squib' if found.fetched else ''}"
    if program.problem:
        return Row(
            "firecracker", Level.WARNING, f"{where} does not run: {program.problem}", f"rm {shlex.quote(str(program.path))}"
        )
    if not found.digest_from:
        says = f"{program.version} ({where}); squib does not know its digest"
        return Row("firecracker", Level.WARNING, says, "squib fetch firecracker")
    return Row("firecracker", Level.OK, f"{program.version} ({where}); its digest is that of {found.digest_from}")


def jailer(found: JailerFound) -> Row:
    """What root's Firecracker machines need beside Firecracker: without it they are refused, or run with --no-jailer."""
    says, remedy = [], ""
    if found.jailer is None:
        says.append(
            "there is no Firecracker here" if found.firecracker is None else f"there is no jailer beside {found.firecracker}"
        )
        remedy = "squib fetch firecracker"
    if found.limits is None:
        says.append(f"no cgroup v2 with {', '.join(found.controllers)}: root's Firecracker needs --no-jailer")
        remedy = remedy or "boot with systemd.unified_cgroup_hierarchy=1"
    if says:
        return Row("jailer", Level.WARNING, "; ".join(says), remedy)
    return Row("jailer", Level.OK, f"{found.jailer}; its limits by {found.limits}")


def qemu(found: QemuFound, user: User) -> Row:
    """QEMU: that it runs, and that it can set up a machine in its sandbox."""
    row = program(found.program, user)
    if row.level is not Level.OK or not found.problem:
        return row if row.level is not Level.OK else Row(row.name, row.level, f"{row.found}, with its sandbox")
    if "sandbox" in found.said:
        says = "was built without its sandbox (seccomp)"
    else:
        says = f"cannot set up a machine: {found.said.splitlines()[-1] if found.said else found.problem}"
    return Row(row.name, Level.MISSING, f"{row.found} {says}", _install(found.program, user, again=True))


def kernel(found: KernelFound, user: User) -> Row:
    """The guest's kernel: cached, or to be had."""
    name = "guest kernel"
    if found.release:
        return Row(name, Level.OK, f"{found.release}, cached ({found.source})")
    if not found.apt:
        return Row(
            name,
            Level.MISSING,
            "none is cached, and this system has no apt to get one with",
            "squib run --kernel PATH --modules DIR, with a kernel of yours",
        )
    if not found.offered:
        why = "apt knows no kernel for virtual machines" if found.lists else "apt has no lists of packages"
        return Row(name, Level.MISSING, f"none is cached, and {why}", _sudo("apt-get update", user))
    return Row(name, Level.OK, f"{found.offered}: will be downloaded once, by the first build")


def tuned_kernel(found: TunedFound) -> Row:
    """The kernel that may be compiled here; nothing needs it."""
    name = "tuned kernel"
    if found.release:
        return Row(name, Level.OK, f"{found.release}, for --kernel tuned")
    return Row(name, Level.OK, "none is built; optional: squib kernel build")


def kernel_build(found: KernelBuildFound, user: User) -> Row:
    """What compiles the tuned kernel; nothing needs it else."""
    name = "kernel build"
    if not found.lacking:
        return Row(name, Level.OK, "all that squib kernel build needs is installed")
    says = f"not installed: {', '.join(found.lacking)}; only squib kernel build needs that"
    if not user.has_apt:
        return Row(name, Level.WARNING, says, "install with this system's package manager what these packages of Debian's hold")
    return Row(name, Level.WARNING, says, _sudo(f"apt-get install {' '.join(found.lacking)}", user))


def bill_library(found: BillLibraryFound) -> Row:
    """What writes bills of materials."""
    name, version = found.package.name, found.package.version
    if version is None:
        return Row("sbom", Level.WARNING, f"{name} is not installed: only --sbom needs it", found.install)
    return Row("sbom", Level.OK, f"{name} {version}".strip())


def kvm(found: KvmFound, user: User) -> Row:
    """Whether guests run on hardware. Emulation always works, so nothing here is ever missing."""
    device = found.device
    if device.problem:
        who = f" ({device.who})" if device.who else ""
        return Row(
            "kvm", Level.WARNING, f"{device.problem}{who}; machines are emulated, which is slower", _for(device.hint, user)
        )
    driver = f"driver {found.module or 'unknown'}{'' if found.hardware else ', no hardware behind it'}; {device.who}"
    if found.works is None:
        return Row("kvm", Level.WARNING, f"{device.path} opens ({driver}); no trial boot: {found.untried}", found.hint)
    if found.works:
        return Row("kvm", Level.OK, f"{found.trial} ({driver})")
    kept = ", as tried before; machines are emulated" if found.kept else "; machines are emulated"
    where = "" if found.hardware else "run squib on a host with hardware virtualisation, its own or nested; "
    remedy = f"{where}squib doctor --retry tries anew, after a change of this host"
    return Row("kvm", Level.WARNING, f"{device.path} opens, but {found.trial} ({driver}){kept}", remedy)


def tun(found: DeviceFound, user: User) -> Row:
    """The device for networks of the host's own."""
    if not found.problem:
        return Row("tun", Level.OK, f"{found.path} opens ({found.who})")
    who = f" ({found.who})" if found.who else ""
    says = f"{found.problem}{who}; only Firecracker's machines, and squib run --outbound, need it"
    return Row("tun", Level.WARNING, says, _for(found.hint, user))


def way_out(found: tuple[ProgramFound, ...], user: User) -> Row:
    """What connects the network of a plain user's Firecracker machine; one of them is enough, and the first is taken."""
    runs = next((one for one in found if one.path is not None and not one.problem), None)
    if runs is not None:
        return Row("pasta", Level.OK, " ".join(part for part in (runs.name, runs.version, f"({runs.path})") if part))
    broken = next((one for one in found if one.path is not None), None)
    if broken is not None:
        says = f"{broken.path} does not run: {broken.problem}; {_NEEDS_WAY_OUT}"
        return Row("pasta", Level.WARNING, says, _install(broken, user, again=True))
    names = " nor ".join(one.name for one in found)
    return Row("pasta", Level.WARNING, f"neither {names} is installed; {_NEEDS_WAY_OUT}", _install(found[0], user))


def namespaces(found: NamespacesFound, user: User) -> Row:
    """User namespaces."""
    name = "user namespaces"
    if not found.problem:
        return Row(name, Level.OK, "can be made, with a network in them")
    for setting, value in found.settings:
        forbidding, mending = _FORBIDS.get(setting, (None, None))
        if value == forbidding:
            remedy = _sudo(f"sysctl {setting}={mending}", user)
            return Row(
                name,
                Level.WARNING,
                f"{found.problem}, because {setting} is {value}; {_NEEDS_NAMESPACES}",
                remedy,
            )
    return Row(name, Level.WARNING, f"{found.problem}; {_NEEDS_NAMESPACES}")


def folder(found: FolderFound, user: User) -> Row:
    """A folder of squib's: that it can be written, by nobody else, and has room."""
    path, where = shlex.quote(str(found.path)), shlex.quote(str(found.nearest))
    if found.problem:
        if found.problem in {os.strerror(errno.EACCES), os.strerror(errno.EPERM)}:
            owner = shlex.quote(user.name)
            command = f"chown -R {owner} {path}" if found.mode is not None else f"install -d -m 700 -o {owner} {path}"
            return Row(
                found.purpose, Level.MISSING, f"{found.path}: this user may not write to {found.nearest}", _sudo(command, user)
            )
        return Row(found.purpose, Level.MISSING, f"{found.path}: {found.problem}", f"ls -ld {where}; df -h {where}")
    says = f"{found.path}{'' if found.mode is not None else ' (not made yet)'}, {_room(found.free_bytes)} free"
    for level, least in _SPACE[found.purpose].items():
        if found.free_bytes < least:
            return Row(found.purpose, level, f"{says}: less than {_room(least)}", f"df -h {where}")
    if found.mode is not None and found.mode & _open_to_others(found.purpose):
        said = "others may look into it" if found.purpose == "state" else "others may write to it"
        return Row(found.purpose, Level.WARNING, f"{says}: {said} ({found.mode:04o})", f"chmod 700 {path}")
    return Row(found.purpose, Level.OK, says)


def _room(size: int) -> str:
    return f"{size / (1024 * MIB):.1f} GiB" if size >= 1024 * MIB else f"{size // MIB} MiB"


def _open_to_others(purpose: str) -> int:
    """The bits that should not be set: consoles are nobody else's business, and a kernel is not for others to replace."""
    return 0o077 if purpose == "state" else 0o022


def database(found: DatabaseFound) -> Row:
    """The record of what runs."""
    if found.problem:
        return Row("machines", Level.MISSING, found.problem, found.hint)
    if found.machines is None:
        return Row("machines", Level.OK, "none was started yet")
    return Row("machines", Level.OK, f"{found.machines} in {found.path}")


def memory(found: MemoryFound) -> Row:
    """What a machine can have."""
    says = f"{found.available_mib} MiB of {found.total_mib} MiB available"
    for level, least in _MEMORY_MIB.items():
        if found.available_mib < least:
            return Row(
                "memory", level, f"{says}: less than {least} MiB", "end something: ps -eo rss,pid,args --sort=-rss | head"
            )
    return Row("memory", Level.OK, says)


def _install(found: ProgramFound, user: User, *, again: bool = False) -> str:
    if not user.has_apt:
        return f"install {found.name} with this system's package manager (Debian's package is {found.package})"
    return _sudo(f"apt-get install {'--reinstall ' if again else ''}{found.package}", user)


def _sudo(command: str, user: User) -> str:
    return command if user.root else f"sudo {command}"


def _for(hint: str, user: User) -> str:
    """A remedy of another room with this user's real name in it, and without sudo where it is root who asks."""
    mine = hint.replace("$USER", shlex.quote(user.name))
    return mine.replace("sudo ", "") if user.root else mine
