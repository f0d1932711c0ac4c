"""The system calls that PID 1 needs and Python does not have: mount, reboot, prctl, seccomp, capset, setrlimit, signalfd.

Each function here is one call, raises OSError with the errno, and decides nothing. Nobody else in the guest calls C: a plain
`squib serve` does not load this.

It uses `_ctypes`, the part of ctypes that is written in C, and does with it what `ctypes.CDLL` does. The module around it
takes two thirds of ctypes's import time (24 ms of 36 on an emulated processor), for types that nothing here has.
"""

from __future__ import annotations

import os
import sys
from _ctypes import FUNCFLAG_CDECL, FUNCFLAG_USE_ERRNO, CFuncPtr, _SimpleCData, dlopen, dlsym, get_errno
from struct import pack, unpack

# <sys/mount.h>
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
# <linux/reboot.h>
RB_AUTOBOOT, RB_DISABLE_CAD = 0x01234567, 0
# <linux/prctl.h>
PR_SET_SECCOMP, PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 22, 23, 24, 38, 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
# <linux/seccomp.h>
_SECCOMP_MODE_FILTER = 2
_SOCK_FILTER_BYTES = 8
# <asm-generic/resource.h>
RLIMIT_CORE, RLIMIT_NOFILE = 4, 7
# <sys/signalfd.h>
SFD_NONBLOCK, SFD_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
SIGNALFD_RECORD_BYTES = 128

_CAPABILITY_VERSION_3 = 0x20080522
_SIGSET_BYTES = 128  # glibc's and musl's sigset_t; the kernel reads the first 8
_RTLD_NOW = 2


class _Int(_SimpleCData):  # type: ignore[type-arg]  # generic in the stubs only
    _type_ = "i"


class _ULong(_SimpleCData):  # type: ignore[type-arg]  # generic in the stubs only
    _type_ = "L"


class _Bytes(_SimpleCData):  # type: ignore[type-arg]  # generic in the stubs only
    _type_ = "z"


class _Function(CFuncPtr):
    """A C function that returns an int and sets errno."""

    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO
    _restype_ = _Int


# None is the interpreter itself, and so the libc that it is linked with; the stubs know paths only.
_program = dlopen(None, _RTLD_NOW)  # type: ignore[arg-type]


def _call(name: str, *args: object, about: str = "") -> int:
    """What the C function returned. Raises OSError (with `about` as its file name) for -1. Arguments: bytes, int (C's int)."""
    result: int = _Function(dlsym(_program, name))(*args)
    if result == -1:
        errno = get_errno()
        raise OSError(errno, os.strerror(errno), about or name)
    return result


def mount(source: str, target: str, fstype: str, flags: int, data: str) -> None:
    """The call of this name; an error names `target`."""
    names = (os.fsencode(source), os.fsencode(target), os.fsencode(fstype))
    _call("mount", *names, _ULong(flags), os.fsencode(data), about=target)


def reboot(how: int) -> None:
    """The call of this name with one of the `RB_` numbers; `RB_AUTOBOOT` comes back only by an error."""
    _call("reboot", how)


def prctl(option: int, arg2: int = 0, arg3: int = 0) -> int:
    """The call of this name, with the unused arguments zero as many options ask."""
    return _call("prctl", option, _ULong(arg2), _ULong(arg3), _ULong(0), _ULong(0))


def set_seccomp_filter(program: bytes) -> None:
    """Sets a filter of system calls for good: PR_SET_SECCOMP with `program`, an array of struct sock_filter."""
    kept = _Bytes(program)  # holds what it points to
    (pointer,) = unpack("@P", memoryview(kept).cast("B"))
    prog = _Bytes(pack("@HP", len(program) // _SOCK_FILTER_BYTES, pointer))  # struct sock_fprog
    (address,) = unpack("@P", memoryview(prog).cast("B"))
    prctl(PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, address)


def clear_capabilities() -> None:
    """Empties the effective, permitted and inheritable sets of this thread: capset(2)."""
    _call("capset", pack("=Ii", _CAPABILITY_VERSION_3, 0), bytes(6 * 4))


def set_rlimit(resource: int, soft: int, hard: int) -> None:
    """Sets a limit: setrlimit(2)."""
    _call("setrlimit", resource, pack("@LL", soft, hard))


def signalfd(signals: tuple[int, ...]) -> int:
    """A descriptor, non-blocking and close-on-exec, that gives a record for each of `signals` (which must be blocked)."""
    bits = sum(1 << (number - 1) for number in signals)
    mask = bits.to_bytes(8, sys.byteorder) + bytes(_SIGSET_BYTES - 8)
    return _call("signalfd", -1, mask, SFD_NONBLOCK | SFD_CLOEXEC)
