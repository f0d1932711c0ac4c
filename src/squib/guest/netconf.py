"""What the kernel parameter `ip=` asks for, as a value: Documentation/admin-guide/nfs/nfsroot.rst.

    ip=CLIENT:SERVER:GATEWAY:NETMASK:HOSTNAME:DEVICE:AUTOCONF:DNS0:DNS1:NTP0

Pure: text in, a value or a `NetworkProblem` out. The server (of NFS) and the time server mean nothing here and are ignored.
"""

from __future__ import annotations

DEFAULT_DEVICE = "eth0"
IFNAMSIZ = 16
HOST_NAME_MAX = 64
_STATIC = ("", "off", "none")
_AUTOMATIC = ("on", "any", "dhcp", "bootp", "rarp", "both", "ibft")
_FIELDS = 10
_HOST_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


class NetworkProblem(Exception):  # noqa: N818 - what the guest reports are problems
    """The network cannot be set up as asked; `str()` is one line for people."""


def wrong(text: str, why: str) -> NetworkProblem:
    """The problem that `ip=text` has: one line, whatever `text` holds."""
    return NetworkProblem(f"ip={ascii(text)[1:-1]}: {why}")


class Static:
    """An address to give to a device. Addresses and masks are 4 bytes, `gateway` None without one; `nameservers` are texts."""

    __slots__ = ("address", "device", "gateway", "hostname", "nameservers", "netmask")

    def __init__(
        self,
        address: bytes,
        netmask: bytes,
        gateway: bytes | None,
        device: str,
        *,
        hostname: str = "",
        nameservers: tuple[str, ...] = (),
    ) -> None:
        self.address = address
        self.netmask = netmask
        self.gateway = gateway
        self.device = device
        self.hostname = hostname
        self.nameservers = nameservers


class Automatic:
    """An address was to come from a server (DHCP); only the kernel can have done that. `device` as in the parameter."""

    __slots__ = ("device", "protocol")

    def __init__(self, device: str, protocol: str) -> None:
        self.device = device
        self.protocol = protocol


def parse(text: str | None) -> Static | Automatic | None:
    """What `ip=` asks for; None for no network but `lo` (no parameter, `off`, `none`). Raises NetworkProblem."""
    if text is None or text in _STATIC:
        return None
    if text in _AUTOMATIC:
        return Automatic(DEFAULT_DEVICE, text)
    fields = text.split(":")
    if len(fields) == 1:
        raise wrong(text, "neither a protocol nor CLIENT::GATEWAY:NETMASK:HOSTNAME:DEVICE:off")
    if len(fields) > _FIELDS:
        raise wrong(text, f"{len(fields)} fields, at most {_FIELDS} are known")
    client, _server, gateway, netmask, hostname, device, protocol, dns0, dns1, _ntp = fields + [""] * (_FIELDS - len(fields))
    device = _device(text, device or DEFAULT_DEVICE)
    if protocol in _AUTOMATIC:
        return Automatic(device, protocol)
    if protocol not in _STATIC:
        raise wrong(text, f"{protocol!a} is not off, and no protocol that is known")
    if not client or client == "0.0.0.0":  # noqa: S104 - a comparison
        raise wrong(text, "no client address")
    address = _address(text, "client address", client)
    return Static(
        address,
        _netmask(text, netmask) if netmask else class_netmask(address),
        _address(text, "gateway", gateway) if gateway else None,
        device,
        hostname=_hostname(text, hostname),
        nameservers=tuple(dotted(_address(text, "name server", dns)) for dns in (dns0, dns1) if dns),
    )


def dotted(address: bytes) -> str:
    """`10.0.2.15` for 4 bytes."""
    return ".".join(str(byte) for byte in address)


def class_netmask(address: bytes) -> bytes:
    """The mask of the address's class, as the kernel guesses it where none is given (net/ipv4/ipconfig.c)."""
    ones = 1 if address[0] < 128 else 2 if address[0] < 192 else 3
    return b"\xff" * ones + bytes(4 - ones)


def resolv_conf(nameservers: tuple[str, ...]) -> str:
    """resolv.conf(5) with these name servers."""
    return "".join(f"nameserver {address}\n" for address in nameservers)


def hosts(hostname: str, address: bytes | None) -> str:
    """What /etc/hosts says: loopback, and the machine's own name at its `address`; without one at 127.0.1.1, loopback too."""
    own = "127.0.1.1" if address is None else dotted(address)
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    if hostname not in ("", "localhost") and _HOST_NAME.issuperset(hostname):
        lines.append(f"{own} {hostname}")
    return "\n".join(lines) + "\n"


def _address(text: str, what: str, value: str) -> bytes:
    parts = value.split(".")
    if len(parts) != 4 or not all(part.isascii() and part.isdecimal() and len(part) <= 3 and int(part) < 256 for part in parts):
        raise wrong(text, f"the {what} {value!a} is not an IPv4 address")
    return bytes(int(part) for part in parts)


def _netmask(text: str, value: str) -> bytes:
    mask = _address(text, "netmask", value)
    inverse = int.from_bytes(mask, "big") ^ 0xFFFFFFFF
    if inverse & (inverse + 1):
        raise wrong(text, f"the netmask {value!a} is not ones and then zeros")
    return mask


def _device(text: str, value: str) -> str:
    # The kernel's own rule: net/core/dev.c, dev_valid_name.
    if (
        len(value) >= IFNAMSIZ
        or value in (".", "..")
        or "/" in value
        or not value.isascii()
        or not value.isprintable()
        or " " in value
    ):
        raise wrong(text, f"{value!a} is not the name of a network device")
    return value


def _hostname(text: str, value: str) -> str:
    # The kernel takes a domain after the first dot for itself (ic_proto_name); the host's name ends there.
    name = value.partition(".")[0]
    if len(name) > HOST_NAME_MAX or not name.isascii() or not name.isprintable():
        raise wrong(text, f"{name!a} is not a host name of at most {HOST_NAME_MAX} characters")
    return name
