"""PID 1 of the lab host: makes the machine a host of virtual machines, does what is asked, says how it went, powers off.

Whatever fails on the way is printed, and then there is no verdict: the outer side takes that for a failure.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
import traceback
from pathlib import Path

from lab import layout
from lab.layout import Request
from squib.guest import libc, links, netconf

SCRATCH_DEVICE = "/dev/vdb"
_ADDRESS = "10.0.2.15::10.0.2.2:255.255.255.0:lab:eth0:off"
"""Of QEMU's user network (its documentation, "Using the user mode network stack")."""

_TIOCSCTTY = 0x540E
_PATIENCE_S = 10.0
_PULSE_PORT = "/dev/ttyS1"
_TSC_TOLERANCE = Path("/sys/module/kvm/parameters/tsc_tolerance_ppm")
"""KVM notes the frequency of the time stamp counter when it is loaded, and the kernel measures it once more later (by less than 1 %,
arch/x86/kernel/tsc.c). Where both differ by more than this, a guest's counter has no frequency, and its timers never fire."""

MOUNTS = (
    # what, where, type, data
    ("proc", "/proc", "proc", ""),
    ("sysfs", "/sys", "sysfs", ""),
    ("devtmpfs", "/dev", "devtmpfs", "mode=755"),
    ("devpts", "/dev/pts", "devpts", "mode=620"),
    ("tmpfs", "/dev/shm", "tmpfs", "mode=1777"),
    ("tmpfs", "/run", "tmpfs", "mode=755"),
    ("tmpfs", "/tmp", "tmpfs", "mode=1777"),
    ("cgroup2", "/sys/fs/cgroup", "cgroup2", ""),
    (SCRATCH_DEVICE, layout.SCRATCH, "ext4", ""),
)

ENVIRONMENT = {
    "PATH": f"{layout.VENV}/bin:/usr/local/bin:/usr/bin:/bin",
    "HOME": f"{layout.SCRATCH}/root",
    "TERM": "vt220",
    "LANG": "C.UTF-8",
    "CI": "true",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONFAULTHANDLER": "1",
    layout.MARK: "1",
    "SQUIB_TEST_KERNEL": f"{layout.ARTIFACTS}/clock/vmlinux",
}


def main() -> None:
    """Does all that PID 1 does, and does not return."""
    try:
        _set_up()
        threading.Thread(target=_pulse, daemon=True).start()
        request = Request.read(Path(layout.SCRATCH))
        os.environ.clear()
        os.environ.update(ENVIRONMENT)
        os.chdir(layout.PROJECT)
        if request.coverage:
            os.environ |= _measured()
        if request.shell:
            _shell()
        else:
            _test(request)
    except BaseException:  # noqa: BLE001 - PID 1 must not end: the kernel would panic, and say less
        traceback.print_exc()
    _power_off()


def _set_up() -> None:
    for what, where, kind, data in MOUNTS:
        with contextlib.suppress(FileExistsError):
            if where.startswith("/dev/"):
                Path(where).mkdir()
        try:
            libc.mount(what, where, kind, 0, data)
        except OSError as error:
            if where != "/dev":  # the initrd has mounted it, and moved it here
                raise OSError(error.errno, f"{error.strerror} (mounting {what})", where) from error
    _TSC_TOLERANCE.write_text("20000", encoding="ascii")
    # As udev does it on a host: 50-udev-default.rules.
    Path("/dev/net/tun").chmod(0o666)
    Path("/dev/kvm").chmod(0o660)
    os.chown("/dev/kvm", 0, layout.KVM_GROUP)
    for name, target in {"fd": "fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}.items():
        Path("/dev", name).symlink_to(f"/proc/self/{target}")
    links.set_hostname("lab")
    links.set_up(netconf.parse(_ADDRESS))
    for folder in ("root", "srv", "tmp", "results/logs"):
        Path(layout.SCRATCH, folder).mkdir(parents=True, exist_ok=True)


def _pulse() -> None:
    """Tells the outer side each second that this kernel still runs (machine.py)."""
    port = os.open(_PULSE_PORT, os.O_WRONLY | os.O_NOCTTY)
    while True:
        os.write(port, b".")
        time.sleep(1)


def _measured() -> dict[str, str]:
    """What makes every Python process note the lines that it runs, whoever's it is (host_image.py has what looks at it)."""
    folder = Path(layout.RESULTS, layout.COVERAGE)
    folder.mkdir()
    folder.chmod(0o1777)
    return {"COVERAGE_PROCESS_START": f"{layout.PROJECT}/pyproject.toml", "COVERAGE_FILE": f"{folder}/.coverage"}


def _test(request: Request) -> None:
    """Runs pytest and writes the verdict: its exit status, or TIMED_OUT."""
    results = Path(layout.RESULTS)
    command = (
        "python",
        "-m",
        "pytest",
        *request.arguments,
        f"--junitxml={results / layout.JUNIT}",
        f"--basetemp={layout.SCRATCH}/pytest",
    )
    began = time.monotonic()
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    status = _wait(child.pid, request.limit_s)
    if status is None:
        print(f"\nlab: the tests did not end within {request.limit_s:g} s: where they are:", flush=True)
        for number in (signal.SIGABRT, signal.SIGKILL):  # Python's faulthandler prints its stacks on the first
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, number)
            if _wait(child.pid, _PATIENCE_S) is not None:
                break
        status = layout.TIMED_OUT
    (results / "logs/dmesg.log").write_bytes(subprocess.run(["dmesg"], capture_output=True, check=True).stdout)
    verdict = {
        "status": status,
        "seconds": round(time.monotonic() - began, 1),
        "uptime_s": round(time.clock_gettime(time.CLOCK_BOOTTIME), 1),
    }
    (results / layout.VERDICT).write_text(json.dumps(verdict), encoding="utf-8")


def _wait(pid: int, timeout_s: float) -> int | None:
    """The exit status of child `pid` (128 and the signal where one ended it), or None; reaps whatever else ends meanwhile."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        ended, status = os.waitpid(-1, os.WNOHANG)
        if ended == pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        if not ended:
            time.sleep(0.1)
    return None


def _shell() -> None:
    """A shell on the console, with job control: it leads a session whose terminal that is."""
    child = os.fork()
    if child == 0:
        import fcntl

        os.setsid()
        terminal = os.open("/dev/ttyS0", os.O_RDWR)
        fcntl.ioctl(terminal, _TIOCSCTTY, 0)
        for descriptor in (0, 1, 2):
            os.dup2(terminal, descriptor)
        os.execv("/usr/bin/bash", ["-bash"])
    while os.waitpid(-1, 0)[0] != child:
        pass


def _power_off() -> None:
    """The results are on the disk before the machine ends: a reboot, which QEMU is told to take for the end."""
    with contextlib.suppress(OSError):
        subprocess.run(["umount", layout.SCRATCH], check=False)
    os.sync()
    libc.reboot(libc.RB_AUTOBOOT)
