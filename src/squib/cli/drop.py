"""The options of `squib build --drop`, and what is said of a drop."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from squib.cli.table import print_table
from squib.errors import UsageError
from squib.model.drop import RUN, TAP, Drop, DropNetwork
from squib.model.network import DEFAULT_GUEST_IP, DEFAULT_GUEST_MAC, parse_guest_ip, parse_tap
from squib.model.units import format_bytes

__all__ = ["DropWish", "drop_options", "show_drop"]

_DEVICE = re.compile(r"[!-.0-9;-~]{1,15}")
"""As dev_valid_name() has it (net/core/dev.c)."""

_OPTIONS = (
    click.option(
        "--drop",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Make a folder instead that boots in Firecracker on a host without squib; with the tuned kernel.",
    ),
    click.option("--tap", metavar="DEV[/MAC]", help=f"With --drop: the host's tap device. Default: {TAP}/{DEFAULT_GUEST_MAC}."),
    click.option(
        "--ip",
        metavar="ADDR/BITS[,GATEWAY]",
        help="With --drop: the guest's address, and the host's on the tap. Default: 172.17.100.2/24,172.17.100.1.",
    ),
)


@dataclass(frozen=True, slots=True)
class DropWish:
    """Where the drop goes, and the network of its machine."""

    folder: Path
    network: DropNetwork


def drop_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options; the command gets them as `drop`, a DropWish or None."""

    @functools.wraps(command)
    def collected(*args: Any, drop: Path | None, tap: str | None, ip: str | None, **kwargs: Any) -> None:
        command(*args, drop=_wish(drop, tap, ip), **kwargs)

    for option in reversed(_OPTIONS):
        collected = option(collected)
    return collected


def _wish(folder: Path | None, tap: str | None, ip: str | None) -> DropWish | None:
    if folder is None:
        for name, value in {"--tap": tap, "--ip": ip}.items():
            if value is not None:
                raise UsageError(f"{name} is about a drop, and none is asked for", hint="add --drop DIR")
        return None
    device, mac = (TAP, DEFAULT_GUEST_MAC) if tap is None else parse_tap(tap)
    if not _DEVICE.fullmatch(device):
        hint = "at most 15 characters, no space, '/' or ':'"
        raise UsageError(f"{device!r} cannot be the name of a network device", hint=hint)
    return DropWish(folder, DropNetwork(device, mac, DEFAULT_GUEST_IP if ip is None else parse_guest_ip(ip)))


def show_drop(drop: Drop) -> None:
    """The files with their digests, and what is left to do on the other host."""
    rows = [(str(drop.folder / file.name), format_bytes(file.size), file.sha256[:16]) for file in drop.files]
    print_table(("FILE", "SIZE", "SHA256"), rows)
    tap, guest = shlex.quote(drop.network.tap), drop.network.guest_ip
    print("\nOn the host that gets it, which needs KVM and nothing of squib:")
    print(f"  sudo ip tuntap add {tap} mode tap user $(id -u)")
    if guest.gateway is not None:
        print(f"  sudo ip addr add {guest.gateway}/{guest.client.network.prefixlen} dev {tap}")
    print(f"  sudo ip link set {tap} up")
    print(f"  {shlex.quote(str(drop.folder / RUN))}")
    print(f"It then answers at http://{guest.client.ip}")
