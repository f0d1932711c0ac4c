"""What PID 1 closes in the kernel of its machine, for good, before the server starts: one table of /proc/sys.

The server's filter (`seccomp`) and its lack of privileges close the same doors from the other side: a hole in one of them is no
way through. What a kernel does not have is closed already. All this is the machine's, not a process's, so it is done only
where the machine is PID 1's own: in a PID namespace the kernel is somebody else's too.
"""

from __future__ import annotations

import os

FOLDER = "/proc/sys"
# Documentation/admin-guide/sysctl: user.rst, kernel.rst, net.rst; Documentation/admin-guide/LSM/Yama.rst.
SETTINGS = (
    ("user/max_user_namespaces", "0"),  # in one, everybody has all capabilities
    ("kernel/modules_disabled", "1"),  # those that are needed are loaded; this cannot be taken back, nor can the next two
    ("kernel/kexec_load_disabled", "1"),
    ("kernel/unprivileged_bpf_disabled", "1"),
    ("net/core/bpf_jit_harden", "2"),
    ("kernel/io_uring_disabled", "2"),
    ("kernel/yama/ptrace_scope", "3"),
    ("kernel/perf_event_paranoid", "3"),
    ("kernel/kptr_restrict", "2"),  # no addresses of the kernel, for root neither
    ("kernel/dmesg_restrict", "1"),
    ("vm/unprivileged_userfaultfd", "0"),
    ("dev/tty/ldisc_autoload", "0"),
    ("dev/tty/legacy_tiocsti", "0"),
)
_PID_NAMESPACE = "/proc/self/ns/pid"
_INITIAL = 0xEFFFFFFC  # include/linux/proc_ns.h, PROC_PID_INIT_INO


def machine_is_own(path: str = _PID_NAMESPACE) -> bool:
    """Whether this is the first process of a machine, and not only of a PID namespace."""
    try:
        return os.stat(path).st_ino == _INITIAL
    except FileNotFoundError:  # a kernel without namespaces
        return True


def close(folder: str = FOLDER) -> list[str]:
    """Sets all that the kernel has; what it refused, as `NAME: WHY`."""
    refused = []
    for name, value in SETTINGS:
        try:
            fd = os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            os.write(fd, value.encode())
        except OSError as error:
            refused.append(f"{name}: {error.strerror}")
        finally:
            os.close(fd)
    return refused
