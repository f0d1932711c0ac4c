"""`ip=` as nfsroot.rst has it, and the structures that carry it to the kernel."""

from __future__ import annotations

import struct

import pytest

from squib.guest import links, netconf


def static(text: str) -> netconf.Static:
    wanted = netconf.parse(text)
    assert isinstance(wanted, netconf.Static)
    return wanted


def test_the_form_that_squib_writes() -> None:
    wanted = static("10.0.2.15::10.0.2.2:255.255.255.0:clock:eth0:off:10.0.2.3:1.1.1.1:")
    assert wanted.address == bytes((10, 0, 2, 15))
    assert wanted.gateway == bytes((10, 0, 2, 2))
    assert wanted.netmask == bytes((255, 255, 255, 0))
    assert (wanted.hostname, wanted.device) == ("clock", "eth0")
    assert wanted.nameservers == ("10.0.2.3", "1.1.1.1")


def test_the_form_of_the_seed() -> None:
    wanted = static("172.17.100.2::172.17.100.1:255.255.255.0:webserver:eth0:off:172.17.100.1::")
    assert wanted.nameservers == ("172.17.100.1",)


@pytest.mark.parametrize("text", [None, "", "off", "none"])
def test_no_network_but_lo(text: str | None) -> None:
    assert netconf.parse(text) is None


@pytest.mark.parametrize(
    ("address", "netmask"), [("10.1.2.3", "255.0.0.0"), ("172.17.0.2", "255.255.0.0"), ("192.168.1.2", "255.255.255.0")]
)
def test_defaults(address: str, netmask: str) -> None:
    wanted = static(f"{address}:::")
    assert netconf.dotted(wanted.netmask) == netmask
    assert (wanted.device, wanted.gateway, wanted.hostname, wanted.nameservers) == ("eth0", None, "", ())


def test_a_hosts_name_ends_at_its_domain() -> None:
    assert static("10.0.0.2::::clock.example.org:eth1:none").hostname == "clock"


@pytest.mark.parametrize("text", ["dhcp", "on", "any", "::::clock:eth0:dhcp", "10.0.0.2:::::eth0:both"])
def test_an_address_from_a_server_is_the_kernels_business(text: str) -> None:
    wanted = netconf.parse(text)
    assert isinstance(wanted, netconf.Automatic)
    assert wanted.device == "eth0"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("dhpc", "neither a protocol"),
        ("10.0.0.2::::h:eth0:dhpc", "'dhpc' is not off"),
        (":::::eth0:off", "no client address"),
        ("0.0.0.0:::::eth0:off", "no client address"),
        ("10.0.0.256:::", "client address"),
        ("10.0.0:::", "client address"),
        ("10.0.0.²:::", "client address"),
        ("10.0.0.2::x:", "gateway"),
        ("10.0.0.2:::255.0.255.0", "ones and then zeros"),
        ("10.0.0.2::::h:a-name-too-long-for-linux", "network device"),
        ("10.0.0.2::::h:../x", "network device"),
        ("10.0.0.2::::" + "h" * 65, "host name"),
        ("10.0.0.2::::h:eth0:off:dns", "name server"),
        ("1:2:3:4:5:6:7:8:9:10:11", "11 fields"),
    ],
)
def test_what_is_wrong_is_named(text: str, what: str) -> None:
    with pytest.raises(netconf.NetworkProblem, match=what):
        netconf.parse(text)


def test_structures_have_the_kernels_sizes_and_places() -> None:
    address = links.sockaddr_in(bytes((10, 0, 2, 15)))
    assert address == struct.pack("=H", 2) + bytes((0, 0, 10, 0, 2, 15)) + bytes(8)
    request = links.ifreq("eth0", address)
    assert (len(request), request[:5], request[16:32]) == (40, b"eth0\0", address)
    route = links.default_route(bytes((10, 0, 2, 2)))
    assert len(route) == 120
    assert route[24:40] == links.sockaddr_in(bytes((10, 0, 2, 2)))
    assert struct.unpack_from("=H", route, 56) == (3,)


def test_resolv_conf() -> None:
    assert netconf.resolv_conf(("10.0.2.3", "1.1.1.1")) == "nameserver 10.0.2.3\nnameserver 1.1.1.1\n"
