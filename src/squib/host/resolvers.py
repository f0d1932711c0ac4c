"""The name servers that this host asks, as far as a guest can ask them too (resolv.conf(5))."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

__all__ = ["parse", "read"]

_FILES = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
"""The second one has the real servers where the first names systemd's own, on loopback."""


def read() -> tuple[IPv4Address, ...]:
    """The servers of the first file that names one; none where no file does. Never raises."""
    for path in _FILES:
        try:
            servers = parse(path.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            continue
        if servers:
            return servers
    return ()


def parse(text: str) -> tuple[IPv4Address, ...]:
    """The IPv4 servers that are not on loopback, in their order."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        try:
            address = IPv4Address(words[1])
        except ValueError:
            continue
        if not address.is_loopback and not address.is_unspecified:
            found.append(address)
    return tuple(found)
