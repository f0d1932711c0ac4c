"""Tap devices of this host, as /sys tells of them. Looks only: they are made by whoever set the network up."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from squib.errors import HostError, MissingError, PermissionDeniedError, TakenError, UsageError
from squib.model.jail import Jail

__all__ = ["check", "names", "setup_another", "setup_command"]

_NAME = re.compile(r"[!-.0-~]{1,15}")
_IFF_UP, _IFF_TAP = 0x1, 0x2
"""linux/if.h and linux/if_tun.h."""
_CAP_NET_ADMIN = 1 << 12
"""linux/capability.h."""


def names(net: Path = Path("/sys/class/net")) -> tuple[str, ...]:
    """The tap devices that are there."""
    return tuple(sorted(path.parent.name for path in net.glob("*/tun_flags") if _flags(path) & _IFF_TAP))


def setup_command(name: str) -> str:
    """What makes a tap of that name for this user, up and with an address: `ip tuntap add` alone leaves it down and without."""
    return f'sudo squib host setup --user "$USER" --tap {shlex.quote(name)}'


def setup_another(net: Path = Path("/sys/class/net")) -> str:
    """The same for one more: a name that is free here, and a network beside the usual one. `net` is for tests."""
    number = next(number for number in range(1, 1 << 16) if not (net / f"tap{number}").exists())
    return f"{setup_command(f'tap{number}')} --address 172.17.{(100 + number) % 256}.1/24"


def check(name: str, net: Path = Path("/sys/class/net"), *, jail: Jail | None = None) -> None:
    """Raises UsageError (no name, or no tap), MissingError, HostError (down), PermissionDeniedError or TakenError.

    `jail` is that of who will open it; None: this process will. `net` is for tests.

    Firecracker itself does not say it: where it has the right, it makes a tap that is missing, and nothing is behind that.
    """
    if not _NAME.fullmatch(name) or name in {".", ".."}:
        raise UsageError(f"{name!r} is not the name of a network device", hint="at most 15 characters, as in tap0")
    quoted = shlex.quote(name)
    if not (net / name).exists():
        raise MissingError(f"there is no tap device {name}", hint=f"make it: {setup_command(name)}")
    if not _flags(net / name / "tun_flags") & _IFF_TAP:
        raise UsageError(f"{name} is not a tap device", hint=f"see what it is: ip -details link show {quoted}")
    if not _flags(net / name / "flags") & _IFF_UP:
        raise HostError(f"the tap device {name} is down", hint=f"sudo ip link set {quoted} up")
    if _number(net / name / "carrier") == 1:
        raise TakenError(f"the tap device {name} is in use by another program", hint=f"make another one: {setup_another(net)}")
    if jail is not None:
        if not (_number(net / name / "owner") in {-1, jail.uid} and _number(net / name / "group") in {-1, jail.gid}):
            raise PermissionDeniedError(
                f"the tap device {name} has an owner, and a jailed Firecracker is another user",
                hint="do without a jail (squib run --no-jailer; squib vm without --jailer); or make it without an owner: "
                f"sudo ip tuntap add {quoted} mode tap",
            )
    elif not _ours(_number(net / name / "owner"), _number(net / name / "group")) and not _may_configure():
        raise PermissionDeniedError(
            f"the tap device {name} is not this user's",
            hint=f"make it anew: sudo ip link del {quoted}; {setup_command(name)}",
        )


def _ours(owner: int, group: int) -> bool:
    """As drivers/net/tun.c, tun_not_capable, has it; -1: nobody's."""
    return owner in {-1, os.geteuid()} and group in {-1, os.getegid(), *os.getgroups()}


def _may_configure() -> bool:
    """Whether this process has CAP_NET_ADMIN (proc_pid_status(5), CapEff)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) & _CAP_NET_ADMIN)
    return False


def _number(path: Path) -> int:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # of a device that is down, carrier cannot be read
        return -1


def _flags(path: Path) -> int:
    try:
        return int(path.read_text(encoding="ascii"), 16)
    except (OSError, ValueError):
        return 0
