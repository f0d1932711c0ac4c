"""Which system calls the server may make: a list of those that ordinary programs need, as a filter for the kernel (seccomp(2)).

Pure: it makes the bytes of a classic BPF program (Documentation/userspace-api/seccomp_filter.rst); `libc.set_seccomp_filter`
hands them to the kernel. x86-64 only, as the machines are. What is not on the list fails with EPERM, and a program can go on
without it; what this list does not know yet fails with ENOSYS, as in an older kernel. So does clone3, whose flags no filter can
see: glibc then uses clone. Not on it are calls that look into other processes or drive them, mounts, namespaces, modules, keys,
clocks, BPF, io_uring, and what nobody has used for long: by such parts of a kernel others were taken over.
"""

from __future__ import annotations

import struct

# arch/x86/entry/syscalls/syscall_64.tbl: the first number of each run, and the calls that have it and the following ones.
ALLOWED = (
    (
        0,
        ("read write open close stat fstat lstat poll lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn"),
    ),
    (
        17,
        (
            "pread64 pwrite64 readv writev access pipe select sched_yield mremap msync mincore madvise shmget shmat "
            "shmctl dup dup2 pause nanosleep getitimer alarm setitimer getpid sendfile"
        ),
    ),
    (42, "connect accept sendto recvfrom sendmsg recvmsg shutdown bind listen getsockname getpeername"),
    (54, "setsockopt getsockopt"),
    (
        57,
        (
            "fork vfork execve exit wait4 kill uname semget semop semctl shmdt msgget msgsnd msgrcv msgctl fcntl flock "
            "fsync fdatasync truncate ftruncate getdents getcwd chdir fchdir rename mkdir rmdir creat link unlink symlink "
            "readlink chmod fchmod chown fchown lchown umask gettimeofday getrlimit getrusage sysinfo times"
        ),
    ),
    (102, "getuid"),
    (
        104,
        (
            "getgid setuid setgid geteuid getegid setpgid getppid getpgrp setsid setreuid setregid getgroups setgroups "
            "setresuid getresuid setresgid getresgid getpgid setfsuid setfsgid getsid capget capset rt_sigpending "
            "rt_sigtimedwait rt_sigqueueinfo rt_sigsuspend sigaltstack utime mknod"
        ),
    ),
    (137, "statfs fstatfs"),
    (
        140,
        (
            "getpriority setpriority sched_setparam sched_getparam sched_setscheduler sched_getscheduler "
            "sched_get_priority_max sched_get_priority_min sched_rr_get_interval mlock munlock mlockall munlockall"
        ),
    ),
    (157, "prctl arch_prctl"),
    (160, "setrlimit"),
    (162, "sync"),
    (
        186,
        (
            "gettid readahead setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr "
            "removexattr lremovexattr fremovexattr tkill time futex sched_setaffinity sched_getaffinity"
        ),
    ),
    (206, "io_setup io_destroy io_getevents io_submit io_cancel"),
    (213, "epoll_create"),
    (
        217,
        (
            "getdents64 set_tid_address restart_syscall semtimedop fadvise64 timer_create timer_settime timer_gettime "
            "timer_getoverrun timer_delete"
        ),
    ),
    (228, "clock_gettime clock_getres clock_nanosleep exit_group epoll_wait epoll_ctl tgkill utimes"),
    (240, "mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr"),
    (247, "waitid"),
    (251, "ioprio_set ioprio_get inotify_init inotify_add_watch inotify_rm_watch"),
    (
        257,
        (
            "openat mkdirat mknodat fchownat futimesat newfstatat unlinkat renameat linkat symlinkat readlinkat fchmodat "
            "faccessat pselect6 ppoll"
        ),
    ),
    (273, "set_robust_list get_robust_list splice tee sync_file_range vmsplice"),
    (
        280,
        (
            "utimensat epoll_pwait signalfd timerfd_create eventfd fallocate timerfd_settime timerfd_gettime accept4 "
            "signalfd4 eventfd2 epoll_create1 dup3 pipe2 inotify_init1 preadv pwritev rt_tgsigqueueinfo"
        ),
    ),
    (299, "recvmmsg"),
    (302, "prlimit64"),
    (306, "syncfs sendmmsg"),
    (309, "getcpu"),
    (314, "sched_setattr sched_getattr renameat2 seccomp getrandom memfd_create"),
    (322, "execveat"),
    (
        324,
        ("membarrier mlock2 copy_file_range preadv2 pwritev2 pkey_mprotect pkey_alloc pkey_free statx io_pgetevents rseq"),
    ),
    (424, "pidfd_send_signal"),
    (434, "pidfd_open"),
    (436, "close_range openat2"),
    (439, "faccessat2"),
    (441, "epoll_pwait2"),
    (444, "landlock_create_ruleset landlock_add_rule landlock_restrict_self"),
    (449, "futex_waitv"),
    (451, "cachestat fchmodat2"),
    (454, "futex_wake futex_wait futex_requeue"),
    (462, "mseal"),
)
CLONE, SOCKET, SOCKETPAIR, IOCTL, PERSONALITY, CLONE3 = 56, 41, 53, 16, 135, 435
"""Calls that are allowed for some arguments, and the one that is to be unknown."""
LAST_KNOWN = 462
"""Numbers above it, and so those of the x32 ABI (bit 30), are of no call that this list knows."""

# <linux/sched.h>: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. (NEWTIME is for unshare and clone3 only.)
NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
# <bits/socket.h>: AF_UNIX, INET, INET6, NETLINK (getifaddrs), VSOCK.
FAMILIES = (1, 2, 10, 16, 40)
# <asm-generic/ioctls.h>: TIOCSTI, TIOCLINUX, TIOCCONS and TIOCSETD put words into a terminal, or other code behind it.
TERMINAL_IOCTLS = (0x5412, 0x541C, 0x541D, 0x5423)
# <linux/personality.h>: PER_LINUX, PER_LINUX32, each with and without UNAME26; and the question which it is.
PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)

AUDIT_ARCH_X86_64 = 0xC000003E
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
EPERM, ENOSYS, EAFNOSUPPORT = 1, 38, 97

# <linux/bpf_common.h>: A = a word of the data; jumps by A; return. Offsets: struct seccomp_data, little-endian.
_LOAD, _JEQ, _JGT, _JGE, _JSET, _RETURN = 0x20, 0x15, 0x25, 0x35, 0x45, 0x06
_NR, _ARCH, _ARG0, _ARG1 = 0, 4, 16, 24
_INSTRUCTION = "HBBI"

TYPE_CHECKING = False
if TYPE_CHECKING:
    Line = tuple[str, int, int, str, str]
    """Label, code, k, and where a jump goes if so and if not; "" is the next line."""


def program() -> bytes:
    """The filter: an array of struct sock_filter."""
    return assemble([*_start(), *_runs(), *_by_arguments(), *_verdicts()])


def _start() -> list[Line]:
    special = ((CLONE, "clone"), (IOCTL, "ioctl"), (SOCKET, "socket"), (SOCKETPAIR, "socket"), (PERSONALITY, "personality"))
    return [
        ("", _LOAD, _ARCH, "", ""),
        ("", _JEQ, AUDIT_ARCH_X86_64, "", "kill"),
        ("", _LOAD, _NR, "", ""),
        ("", _JGT, LAST_KNOWN, "unknown", ""),
        ("", _JEQ, CLONE3, "unknown", ""),
        *(("", _JEQ, nr, label, "") for nr, label in special),
    ]


def _runs() -> list[Line]:
    """The numbers rise, so one that is below the next run is in none."""
    lines = []
    for first, names in ALLOWED:
        lines.append(("", _JGE, first, "", "refused"))
        lines.append(("", _JGT, first + names.count(" "), "", "allowed"))
    return [*lines, ("", _RETURN, ERRNO | EPERM, "", "")]


def _by_arguments() -> list[Line]:
    """Of each argument the kernel looks at the low 32 bits only, as these calls take int, unsigned int, and flags below 2³²."""
    return [
        ("clone", _LOAD, _ARG0, "", ""),
        ("", _JSET, NAMESPACES, "refused", "allowed"),
        ("ioctl", _LOAD, _ARG1, "", ""),
        *(("", _JEQ, number, "refused", "") for number in TERMINAL_IOCTLS),
        ("", _RETURN, ALLOW, "", ""),
        ("socket", _LOAD, _ARG0, "", ""),
        *(("", _JEQ, family, "allowed", "") for family in FAMILIES),
        ("", _RETURN, ERRNO | EAFNOSUPPORT, "", ""),
        ("personality", _LOAD, _ARG0, "", ""),
        *(("", _JEQ, value, "allowed", "") for value in PERSONALITIES),
    ]


def _verdicts() -> list[Line]:
    return [
        ("refused", _RETURN, ERRNO | EPERM, "", ""),
        ("allowed", _RETURN, ALLOW, "", ""),
        ("unknown", _RETURN, ERRNO | ENOSYS, "", ""),
        ("kill", _RETURN, KILL, "", ""),
    ]


def assemble(lines: list[Line]) -> bytes:
    """The bytes of `lines`. Jumps go forward, by at most 255."""
    places = {line[0]: place for place, line in enumerate(lines)}
    numbers: list[int] = []
    for place, (_, operation, k, yes, no) in enumerate(lines, 1):
        numbers += (operation, places[yes] - place if yes else 0, places[no] - place if no else 0, k)
    return struct.pack("=" + _INSTRUCTION * len(lines), *numbers)
