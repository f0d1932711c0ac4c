# ruff: noqa: PTH104, PTH108, PTH110, PTH208, PTH211 - it is about system calls
"""A VMM that a guest has taken over, played: a process in the jail of a Firecracker, as its user, that tries what it should not."""

from __future__ import annotations

import ctypes
import encodings.idna  # noqa: F401 - in the jail it could not be loaded any more
import errno
import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

_NAMESPACES = {"mnt": 0x00020000, "net": 0x40000000}


def taken_over(pid: int, work: Callable[[], Any], *, cgroup: Path | None = None) -> Any:
    """What `work` returns (as JSON) where Firecracker `pid` is: its mounts, its network, its user, its cgroup; or "died: SIGNAL"."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    uid, gid = int(status["Uid"].split()[0]), int(status["Gid"].split()[0])
    inherited = os.getpid()
    namespaces = {kind: os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY) for kind in _NAMESPACES}
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            if cgroup is not None:
                Path("/proc/self/oom_score_adj").write_text("1000")  # it, and not the VMM, is to go
                (cgroup / "cgroup.procs").write_text(str(os.getpid()))
            library = ctypes.CDLL(None, use_errno=True)
            for kind, flag in _NAMESPACES.items():
                assert library.setns(namespaces[kind], flag) == 0
            os.setgroups([])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            os.write(writing, json.dumps(work()).encode())
        except BaseException as error:  # noqa: BLE001 - told to who waits
            os.write(writing, json.dumps(f"failed: {error!r}").encode())
        finally:
            os._exit(0)
    os.close(writing)
    for descriptor in namespaces.values():
        os.close(descriptor)
    assert inherited == os.getpid()
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    _, ended = os.waitpid(child, 0)
    if os.WIFSIGNALED(ended):
        return f"died: {signal.Signals(os.WTERMSIG(ended)).name}"
    return json.loads(said)


def refusal(attempt: Callable[[], Any]) -> str:
    """The name of the error with which the kernel refuses it; "" where it does not."""
    try:
        attempt()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return ""


def escape() -> dict[str, Any]:
    """What a taken over VMM finds when it looks around, and with which errors it is refused."""
    library = ctypes.CDLL(None, use_errno=True)

    def call(name: str, *arguments: Any) -> str:
        if getattr(library, name)(*arguments) >= 0:
            return ""
        return errno.errorcode[ctypes.get_errno()]

    for _ in range(64):  # to the top, and beyond
        os.chdir("..")
    return {
        "look": refusal(lambda: os.listdir(".")),
        "hosts files": [path for path in ("/etc", "/proc", "/sys", "/root", "/usr") if os.path.exists(path)],
        "make": refusal(lambda: os.close(os.open("/new", os.O_WRONLY | os.O_CREAT))),
        "make in run": refusal(lambda: os.close(os.open("/run/new", os.O_WRONLY | os.O_CREAT))),
        "link": refusal(lambda: os.symlink("/etc/passwd", "/dev/new")),
        "remove": refusal(lambda: os.unlink("/api.sock")),
        "replace": refusal(lambda: os.rename("/firecracker.log", "/api.sock")),
        "write the program": refusal(lambda: os.close(os.open("/firecracker", os.O_WRONLY))),
        "write the kernel": refusal(lambda: os.close(os.open("/vmlinux", os.O_WRONLY))),
        "write the root drive": refusal(lambda: os.close(os.open("/drive-rootfs", os.O_WRONLY))),
        "chroot": call("chroot", b"/run"),
        "mount": call("mount", b"none", b"/run", b"tmpfs", 0, None),
        "make a device": refusal(lambda: os.mknod("/run/sda", 0o060600, os.makedev(8, 0))),
        "be root": refusal(lambda: os.setresuid(0, 0, 0)),
        "kill": refusal(lambda: os.kill(1, 0)),
        "trace": call("ptrace", 16, 1, None, None),  # PTRACE_ATTACH
        "networks": [name for _, name in socket.if_nameindex()],
        "reach out": refusal(lambda: socket.create_connection(("192.0.2.1", 80), 2)),
        "reach the host": refusal(lambda: socket.create_connection(("127.0.0.1", 22), 2)),
    }


ESCAPED = {
    "look": "EACCES",
    "hosts files": [],
    "make": "EACCES",
    "make in run": "EACCES",
    "link": "EACCES",
    "remove": "EACCES",
    "replace": "EACCES",
    "write the program": "EACCES",
    "write the kernel": "EACCES",
    "write the root drive": "EACCES",
    "chroot": "EPERM",
    "mount": "EPERM",
    "make a device": "EACCES",
    "be root": "EPERM",
    "kill": "EPERM",
    "trace": "EPERM",
    "networks": ["lo"],
    "reach out": "ENETUNREACH",
    "reach the host": "ENETUNREACH",
}
"""What is to come of `escape`."""
