"""Network devices, addresses and routes of this host, by netlink (pyroute2, which takes 0.2 s to import: late).

A tap of squib's bears `squib` as its alias (ip-link(8)), so that a device of that name which somebody else made is told apart.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import TYPE_CHECKING

from squib.errors import HostError, MissingError, PermissionDeniedError, SquibError, TakenError, UnavailableError
from squib.host import netns, sysctl

if TYPE_CHECKING:
    from pyroute2 import IPRoute

__all__ = [
    "Device",
    "Route",
    "add_tap",
    "addresses",
    "bring_tap",
    "delete",
    "devices",
    "make_tap",
    "network_id",
    "routes",
    "set_up",
]

ALIAS = "squib"

_AF_INET = 2
_TAP = 2  # IFLA_TUN_TYPE (linux/if_tun.h, IFF_TAP)
_SO_NETNS_COOKIE = 71  # asm-generic/socket.h, since Linux 5.14
_UNICAST = 1  # linux/rtnetlink.h, RTN_UNICAST
_ALL_OVER = tuple(IPv4Address((first << 24) + 1) for first in (1, 8, 23, 44, 62, 91, 130, 151, 185, 198))
"""Public addresses, by which nothing is sent."""
_MAIN_TABLES = {253, 254}  # linux/rtnetlink.h, RT_TABLE_DEFAULT and RT_TABLE_MAIN

_TAP_SETTINGS = {
    "net/ipv6/conf/{}/disable_ipv6": "1",  # a guest speaks IPv4 only, so the host offers it nothing else
    "net/ipv4/conf/{}/rp_filter": "1",  # a source that is not routed back there is dropped (RFC 3704, strict)
    "net/ipv4/conf/{}/arp_ignore": "1",  # the guest may ask for the tap's own address, not for others of the host
    "net/ipv4/conf/{}/accept_redirects": "0",
    "net/ipv4/conf/{}/send_redirects": "0",
    "net/ipv4/conf/{}/forwarding": "1",
}
_FROM_LOOPBACK = "net/ipv4/conf/{}/route_localnet"


@dataclass(frozen=True, slots=True)
class Device:
    """`kind` as the kernel calls it (`tun`, `veth`, `` for a real one); `owner` is a tap's uid, None where it has none."""

    name: str
    kind: str
    alias: str
    up: bool
    owner: int | None
    is_tap: bool


@dataclass(frozen=True, slots=True)
class Route:
    """`device` is empty where it leads nowhere (blackhole and its like); the default route's network is 0.0.0.0/0.

    One that leads by several devices at once (RTA_MULTIPATH, nexthop groups) is as many of these.
    """

    network: IPv4Network
    device: str
    metric: int

    @property
    def leads_out(self) -> bool:
        """Whether it is a default route, or one to a half of all addresses, of which VPNs make two instead."""
        return self.network.prefixlen <= 1


def devices() -> dict[str, Device]:
    """All devices, by name."""
    with _netlink("the host's devices cannot be listed") as netlink:
        found = [_device(message) for message in netlink.get_links()]
    return {device.name: device for device in found}


def routes() -> tuple[Route, ...]:
    """The IPv4 routes of the main table, and the networks of local addresses.

    Where that table has no default route that tells its device, as with routing policies (ip-rule(8)) and nexthop objects that
    are told by their numbers alone (net.ipv4.nexthop_compat_mode), the kernel is asked which way it would take.
    """
    with _netlink("the host's routes cannot be listed") as netlink:
        names = {message["index"]: str(message.get_attr("IFLA_IFNAME")) for message in netlink.get_links()}
        found = [
            Route(network, names.get(device, ""), message.get_attr("RTA_PRIORITY") or 0)
            for message in netlink.get_routes(family=_AF_INET)
            if message["table"] in _MAIN_TABLES
            for network in [IPv4Network((message.get_attr("RTA_DST") or 0, message["dst_len"]), strict=False)]
            for device in _out_by(message)
        ]
        if not any(route.device and route.leads_out for route in found):
            found += [Route(IPv4Network("0.0.0.0/0"), name, 0) for name in _ways_out(netlink, names)]
    return tuple(found)


def _out_by(message: object) -> tuple[int | None, ...]:
    """The numbers of the devices that a route leads by."""
    attribute = message.get_attr  # type: ignore[attr-defined]
    hops = attribute("RTA_MULTIPATH") or ()
    return tuple(dict.fromkeys(hop["oif"] for hop in hops)) or (attribute("RTA_OIF"),)


def _ways_out(netlink: IPRoute, names: dict[int, str]) -> tuple[str, ...]:
    """The devices by which the kernel would reach places all over the Internet; none where one of them is not reached."""
    found = []
    for place in _ALL_OVER:
        try:
            (message, *_) = netlink.route("get", dst=str(place))
        except Exception as error:
            if getattr(error, "code", None) is None:  # else it is the kernel's no
                raise
            return ()
        found.append(names.get(message.get_attr("RTA_OIF"), ""))
    return tuple(dict.fromkeys(name for name in found if name not in {"", "lo"}))


def addresses() -> tuple[tuple[str, IPv4Interface], ...]:
    """The IPv4 addresses of this host, each with its network, and the device that has it."""
    with _netlink("the host's addresses cannot be listed") as netlink:
        names = {message["index"]: message.get_attr("IFLA_IFNAME") for message in netlink.get_links()}
        return tuple(
            (str(names.get(message["index"], "")), IPv4Interface((local, message["prefixlen"])))
            for message in netlink.get_addr(family=_AF_INET)
            if (local := message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS"))
        )


def set_up(name: str) -> None:
    """Sets the device up."""
    with _netlink(f"{name} cannot be set up") as netlink:
        netlink.link("set", index=_index(netlink, name), state="up")


def add_tap(name: str, address: IPv4Interface, *, owner: int | None = None, from_loopback: bool = False) -> None:
    """Makes a tap that `owner` (a uid; None: root only) may open, with `address` on it, and sets it up.

    `from_loopback`: packets from 127/8 may be routed out of it, as published ports of 127.0.0.1 need. Raises TakenError where
    a device of that name is there; on any error nothing is left.
    """
    make_tap(name, owner=owner)
    _set_up(name, address, from_loopback=from_loopback)


def make_tap(name: str, *, owner: int | None = None) -> None:
    """Makes a tap as `add_tap` does, and leaves it down and without an address. Raises as that does."""
    with _netlink(f"the tap {name} cannot be made") as netlink:
        _refuse_double(name)
        netlink.link("add", ifname=name, kind="tuntap", mode="tap", uid=os.geteuid() if owner is None else owner)
        index = netlink.link_lookup(ifname=name)[0]
        try:
            netlink.link("set", index=index, ifalias=ALIAS)
        except BaseException:
            with contextlib.suppress(Exception):
                netlink.link("del", index=index)
            raise


def bring_tap(name: str, namespace: int, address: IPv4Interface, *, from_loopback: bool = False) -> None:
    """Moves a tap of `make_tap` from the network namespace `namespace` to this one, and sets it up as `add_tap` does.

    `namespace` is a descriptor. Who has the tap open there goes on having it. Raises as `add_tap` does.
    """
    _refuse_double(name)

    def send() -> None:
        with _netlink(f"the tap {name} cannot be moved") as netlink:
            netlink.link("set", index=_index(netlink, name), net_ns_fd=target)

    with netns.here() as target:
        netns.inside(namespace, send)
    _set_up(name, address, from_loopback=from_loopback)


def _refuse_double(name: str) -> None:
    if name in devices():
        raise TakenError(f"there is a network device {name} already", hint=f"see what it is: ip -d link show {name}")


def _set_up(name: str, address: IPv4Interface, *, from_loopback: bool) -> None:
    """The settings, the address, and up; the tap is deleted where that fails."""
    with _netlink(f"the tap {name} cannot be set up") as netlink:
        index = _index(netlink, name)
        try:
            for setting, value in _TAP_SETTINGS.items():
                if sysctl.read(setting.format(name)) is not None:
                    sysctl.write(setting.format(name), value)
            if from_loopback:
                sysctl.write(_FROM_LOOPBACK.format(name), "1")
            netlink.addr("add", index=index, address=str(address.ip), prefixlen=address.network.prefixlen)
            netlink.link("set", index=index, state="up")
        except BaseException:
            with contextlib.suppress(Exception):
                netlink.link("del", index=index)
            raise


def delete(name: str) -> bool:
    """Removes a tap of squib's; whether it was there. Raises TakenError where the device is somebody else's."""
    with _netlink(f"the tap {name} cannot be removed") as netlink:
        device = devices().get(name)
        if device is None:
            return False
        if not _is_ours(device):
            raise TakenError(f"{name} is not a tap of squib's, and stays", hint=f"see what it is: ip -d link show {name}")
        with contextlib.suppress(MissingError):
            netlink.link("del", index=_index(netlink, name))
    return True


def _is_ours(device: Device) -> bool:
    """Whether `add_tap` made it. One that it was killed in may lack the alias: it has an owner, and is down still."""
    half_made = device.alias == "" and device.owner is not None and not device.up
    return device.is_tap and (device.alias == ALIAS or half_made)


def network_id() -> str:
    """A name for this network namespace, not used again in this boot of the host (before Linux 5.14: hardly ever)."""
    import socket

    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        cookie = probe.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
        return f"{int.from_bytes(cookie, 'little'):x}"
    return f"i{os.stat('/proc/self/ns/net').st_ino:x}"  # noqa: PTH116 - not a file that has a path


def prepare() -> None:
    """Imports what speaks netlink: before a lock is taken for which others wait. Raises UnavailableError."""
    with _netlink("speak netlink"):
        pass


@contextlib.contextmanager
def _netlink(failed: str) -> Iterator[IPRoute]:
    """A netlink socket; what the kernel refuses becomes an error that says what `failed`."""
    try:
        from pyroute2 import IPRoute
        from pyroute2.netlink.exceptions import NetlinkError
    except ImportError as error:
        raise UnavailableError(
            "the Python package pyroute2 is not installed", hint="python3 -m pip install pyroute2"
        ) from error
    try:
        with IPRoute() as netlink:
            yield netlink
    except NetlinkError as error:
        raise _explain(failed, error.code) from error
    except OSError as error:
        raise _explain(failed, error.errno or 0) from error


def _explain(failed: str, code: int) -> SquibError:
    match code:
        case errno.EPERM | errno.EACCES:
            return PermissionDeniedError(f"{failed}: only root may", hint="run it with sudo")
        case errno.ENOENT | errno.ENODEV:
            return HostError(f"{failed}: {os.strerror(code)}", hint="sudo modprobe tun")
        case errno.EEXIST | errno.EBUSY:
            return TakenError(f"{failed}: it is there, and in use", hint="see what uses it: ip -d link")
        case _:
            return HostError(f"{failed}: {os.strerror(code)}")


def _index(netlink: IPRoute, name: str) -> int:
    found = netlink.link_lookup(ifname=name)
    if not found:
        raise MissingError(f"there is no network device {name}", hint="ip link")
    return int(found[0])


def _device(message: object) -> Device:
    attribute = message.get_attr  # type: ignore[attr-defined]
    info = attribute("IFLA_LINKINFO")
    kind = "" if info is None else str(info.get_attr("IFLA_INFO_KIND") or "")
    data = info.get_attr("IFLA_INFO_DATA") if kind == "tun" else None
    owner = None if data is None else data.get_attr("IFLA_TUN_OWNER")
    return Device(
        name=str(attribute("IFLA_IFNAME")),
        kind=kind,
        alias=str(attribute("IFLA_IFALIAS") or ""),
        up=bool(message["flags"] & 1),  # type: ignore[index]
        owner=None if owner is None else int(owner),
        is_tap=data is not None and data.get_attr("IFLA_TUN_TYPE") == _TAP,
    )
