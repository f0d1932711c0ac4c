"""The filter of system calls, read by another reader: a small machine for classic BPF (Documentation/networking/filter.rst)."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.guest import seccomp
from support import missing

X86_64, I386, AARCH64 = 0xC000003E, 0x40000003, 0xC00000B7
ALLOW, EPERM, ENOSYS, EAFNOSUPPORT, KILL = 0x7FFF0000, 0x50001, 0x50026, 0x50061, 0x80000000
INSTRUCTIONS = list(struct.iter_unpack("=HBBI", seccomp.program()))
NUMBERS = {name: first + place for first, names in seccomp.ALLOWED for place, name in enumerate(names.split())}
HEADER = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
REFUSED = {
    "ptrace": 101, "syslog": 103, "personality": 135, "pivot_root": 155, "adjtimex": 159, "chroot": 161, "acct": 163, "settimeofday": 164,
    "mount": 165, "umount2": 166, "swapon": 167, "swapoff": 168, "reboot": 169, "sethostname": 170, "iopl": 172, "ioperm": 173,
    "init_module": 175, "delete_module": 176, "quotactl": 179, "clock_settime": 227, "kexec_load": 246, "add_key": 248,
    "request_key": 249, "keyctl": 250, "unshare": 272, "perf_event_open": 298, "name_to_handle_at": 303, "open_by_handle_at": 304,
    "clock_adjtime": 305, "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "finit_module": 313,
    "kexec_file_load": 320, "bpf": 321, "userfaultfd": 323, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "pidfd_getfd": 438,
    "mount_setattr": 442, "vhangup": 153, "fanotify_init": 300, "modify_ldt": 154,
}  # fmt: skip


def verdict(nr: int, *args: int, arch: int = X86_64) -> int:
    """What the filter returns for a call."""
    data = struct.pack("<iIQ6Q", nr - (1 << 32) if nr >> 31 else nr, arch, 0, *args, *[0] * (6 - len(args)))
    at = accumulator = 0
    while True:
        code, yes, no, k = INSTRUCTIONS[at]
        at += 1
        if code == 0x06:
            return int(k)
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, k)
            continue
        taken = {0x15: accumulator == k, 0x25: accumulator > k, 0x35: accumulator >= k, 0x45: bool(accumulator & k)}[code]
        at += yes if taken else no


def test_every_call_of_the_list_and_no_other() -> None:
    partly = {56, 16, 41, 53, 135}
    allowed = {nr for nr in range(1000) if nr not in partly and verdict(nr) == ALLOW}
    assert allowed == set(NUMBERS.values())
    assert not set(REFUSED.values()) & allowed


def test_the_numbers_are_the_kernels() -> None:
    if not HEADER.exists():
        missing("needs linux-libc-dev")
    header = {name: int(nr) for name, nr in re.findall(r"#define __NR_(\w+) (\d+)", HEADER.read_text())}
    known = {name: nr for name, nr in NUMBERS.items() if nr <= max(header.values())}
    assert known == {name: header[name] for name in known}
    assert {name: header[name] for name in REFUSED if name in header} == {
        name: REFUSED[name] for name in REFUSED if name in header
    }
    assert (header["clone"], header["socket"], header["socketpair"], header["ioctl"], header["personality"], header["clone3"]) == (
        seccomp.CLONE, seccomp.SOCKET, seccomp.SOCKETPAIR, seccomp.IOCTL, seccomp.PERSONALITY, seccomp.CLONE3,
    )  # fmt: skip


@pytest.mark.parametrize("name", [name for name in REFUSED if name != "personality"])
def test_what_is_refused(name: str) -> None:
    assert verdict(REFUSED[name]) == EPERM


@pytest.mark.parametrize("nr", [435, 463, 1000, 0x40000000, 0x40000000 | 1, 0x40000000 | 101, 0xFFFFFFFF])
def test_what_is_unknown(nr: int) -> None:
    """Clone3, calls of newer kernels, and the x32 ABI, by which the numbers of this list would mean other calls."""
    assert verdict(nr) == ENOSYS


@given(st.integers(0, 2**32 - 1), st.sampled_from([I386, AARCH64, 0]))
def test_another_architecture_is_the_end(nr: int, arch: int) -> None:
    assert verdict(nr, arch=arch) == KILL


@given(st.integers(0, 2**64 - 1))
def test_no_namespace_by_clone(flags: int) -> None:
    namespaces = 0x20000 | 0x2000000 | 0x4000000 | 0x8000000 | 0x10000000 | 0x20000000 | 0x40000000
    assert verdict(56, flags) == (EPERM if flags & namespaces else ALLOW)


def test_threads_and_processes_by_clone() -> None:
    assert verdict(56, 0x3D0F00) == ALLOW, "pthread_create (glibc, sysdeps/unix/sysv/linux/createthread.c)"
    assert verdict(56, 0x01200011) == ALLOW, "fork"
    assert verdict(56, 0x4111) == ALLOW, "posix_spawn"


@pytest.mark.parametrize("request_", [0x5412, 0x541C, 0x541D, 0x5423, 0x5412 | 7 << 32])
def test_no_words_into_a_terminal(request_: int) -> None:
    assert verdict(16, 0, request_) == EPERM
    assert verdict(16, request_, 0x5401) == ALLOW


@pytest.mark.parametrize("nr", [41, 53])
def test_families_of_sockets(nr: int) -> None:
    families = {family for family in range(64) if verdict(nr, family) == ALLOW}
    assert families == {1, 2, 10, 16, 40}
    assert verdict(nr, 38) == EAFNOSUPPORT
    assert verdict(nr, 0xFFFFFFFF) == EAFNOSUPPORT


def test_personalities() -> None:
    assert [verdict(135, value) for value in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF)] == [ALLOW] * 5
    assert [verdict(135, value) for value in (1, 0x40000, 0x400000, 0x40000 | 8)] == [EPERM] * 4
