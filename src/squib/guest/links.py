"""Network devices: addresses, masks, flags and the default route, by ioctl (netdevice(7), rtnetlink(7)).

Every call may find its work done already (by the kernel's own `ip=`), and then changes nothing.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import struct

# The C part of `socket`: the module around it imports enum and selectors, which cost more than all of this.
from _socket import AF_INET, AF_NETLINK, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_RAW, sethostname, socket

from squib.guest import console, netconf

# <linux/sockios.h>, <net/if.h>, <net/route.h>, <linux/rtnetlink.h>
_SIOCADDRT, _SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCGIFADDR, _SIOCSIFADDR = 0x890B, 0x8913, 0x8914, 0x8915, 0x8916
_SIOCSIFNETMASK, _SIOCGIFINDEX = 0x891C, 0x8933
_IFF_UP = 1
_RTF_UP, _RTF_GATEWAY = 1, 2
_NETLINK_ROUTE, _RTMGRP_LINK = 0, 1

DEVICE_WAIT_MS = 5_000
RESOLV_CONF = "/run/resolv.conf"
HOSTS = "/run/hosts"


def set_up(wanted: netconf.Static | netconf.Automatic | None) -> None:
    """Brings up `lo` (with 127.0.0.1 and ::1, which the kernel adds) and the device that is `wanted`.

    Raises NetworkProblem, or OSError that names the device.
    """
    with socket_of_ioctls() as sock:
        bring_up(sock, "lo")
        if wanted is None:
            return
        await_device(sock, wanted.device)
        if isinstance(wanted, netconf.Automatic):
            _expect_address(sock, wanted)
        else:
            _apply(sock, wanted)


class socket_of_ioctls:  # noqa: N801 - used as a function is: `with socket_of_ioctls() as sock`
    """A socket whose only use is to carry ioctls; closed at the end."""

    def __enter__(self) -> socket:
        self._sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC)
        return self._sock

    def __exit__(self, *_: object) -> None:
        self._sock.close()


def set_hostname(name: str) -> None:
    """The name that uname(2) says."""
    sethostname(name)


def write_resolv_conf(nameservers: tuple[str, ...]) -> None:
    """Tells the resolver its servers; /etc/resolv.conf of the image points to this file."""
    _write(RESOLV_CONF, netconf.resolv_conf(nameservers))


def write_hosts(hostname: str, address: bytes | None) -> None:
    """Tells the resolver the machine's own name, and that of loopback; /etc/hosts of the image points to this file."""
    _write(HOSTS, netconf.hosts(hostname, address))


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, text.encode("ascii"))
    finally:
        os.close(fd)


def sockaddr_in(address: bytes) -> bytes:
    """`struct sockaddr_in` with port 0: 16 bytes."""
    return struct.pack("=HH4s8x", AF_INET, 0, address)


def ifreq(device: str, payload: bytes = b"") -> bytes:
    """`struct ifreq` of a 64-bit kernel: the name and a union, 40 bytes."""
    return struct.pack("=16s24s", device.encode("ascii"), payload)


def default_route(gateway: bytes) -> bytes:
    """`struct rtentry` of a 64-bit kernel, 120 bytes: 0.0.0.0/0 through `gateway`; the kernel finds the device."""
    anywhere = sockaddr_in(bytes(4))
    return struct.pack("=8x16s16s16sH62x", anywhere, sockaddr_in(gateway), anywhere, _RTF_UP | _RTF_GATEWAY)


def bring_up(sock: socket, device: str) -> None:
    """Sets IFF_UP beside the flags that are there."""
    reply = _ioctl(sock, _SIOCGIFFLAGS, device)
    (flags,) = struct.unpack_from("=H", reply, netconf.IFNAMSIZ)
    if not flags & _IFF_UP:
        _ioctl(sock, _SIOCSIFFLAGS, device, struct.pack("=H", flags | _IFF_UP))


def await_device(sock: socket, device: str, wait_ms: int = DEVICE_WAIT_MS) -> None:
    """Waits until `device` is there: a driver may still be at work. Raises NetworkProblem after `wait_ms`."""
    news = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, _NETLINK_ROUTE)
    try:
        news.bind((0, _RTMGRP_LINK))  # before the first look, so that no appearance falls between
        poll = select.poll()
        poll.register(news, select.POLLIN)
        deadline_ms = console.uptime_ms() + wait_ms
        while not _exists(sock, device):
            left_ms = deadline_ms - console.uptime_ms()
            if left_ms <= 0:
                raise netconf.NetworkProblem(
                    f"there is no network device {device}, {wait_ms // 1000} s after it was looked for"
                )
            if poll.poll(left_ms):
                news.recv(65536)
    finally:
        news.close()


def _exists(sock: socket, device: str) -> bool:
    try:
        _ioctl(sock, _SIOCGIFINDEX, device)
    except OSError as error:
        if error.errno == errno.ENODEV:
            return False
        raise
    return True


def _apply(sock: socket, wanted: netconf.Static) -> None:
    # An address that is set already is left alone by devinet_ioctl(), and so is an equal mask.
    _ioctl(sock, _SIOCSIFADDR, wanted.device, sockaddr_in(wanted.address))
    _ioctl(sock, _SIOCSIFNETMASK, wanted.device, sockaddr_in(wanted.netmask))
    bring_up(sock, wanted.device)
    if wanted.gateway is None:
        return
    try:
        fcntl.ioctl(sock.fileno(), _SIOCADDRT, default_route(wanted.gateway))
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise OSError(
                error.errno, f"no route through {netconf.dotted(wanted.gateway)}: {error.strerror}", wanted.device
            ) from None


def _expect_address(sock: socket, wanted: netconf.Automatic) -> None:
    try:
        _ioctl(sock, _SIOCGIFADDR, wanted.device)
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise
        raise netconf.NetworkProblem(
            f"ip= asks for {wanted.protocol} on {wanted.device}, and this kernel did not do it; "
            "give a fixed address: ip=CLIENT::GATEWAY:NETMASK:HOSTNAME:DEVICE:off"
        ) from None


def _ioctl(sock: socket, request: int, device: str, payload: bytes = b"") -> bytes:
    try:
        return fcntl.ioctl(sock.fileno(), request, ifreq(device, payload))
    except OSError as error:
        raise OSError(error.errno, error.strerror, device) from None
