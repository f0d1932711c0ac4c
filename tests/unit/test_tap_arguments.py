"""`--tap` and `--ip`: what they may be, as the seed has them and shorter, and what they may not."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.errors import UsageError
from squib.model.network import DEFAULT_GUEST_IP, DEFAULT_GUEST_MAC, GuestIp, parse_guest_ip, parse_tap

SEED = "172.17.100.2::172.17.100.1:255.255.255.0:webserver:eth0:off:172.17.100.1::"
HOSTS = st.integers(1 << 24, (127 << 24) - 1).map(IPv4Address)


def test_the_seeds() -> None:
    assert parse_tap("tap0/AA:FC:00:00:00:01") == parse_tap("tap0") == ("tap0", DEFAULT_GUEST_MAC)
    assert parse_guest_ip(SEED).parameter("x") == parse_guest_ip(f"ip={SEED}").parameter("x") == f"ip={SEED}"
    assert DEFAULT_GUEST_IP.parameter("webserver") == f"ip={SEED}"


def test_short() -> None:
    assert parse_guest_ip("10.0.0.2/24,10.0.0.1") == GuestIp(IPv4Interface("10.0.0.2/24"), IPv4Address("10.0.0.1"))
    assert parse_guest_ip("10.0.0.2/24") == GuestIp(IPv4Interface("10.0.0.2/24"))
    assert parse_guest_ip("10.0.0.2:::255.255.255.0") == GuestIp(IPv4Interface("10.0.0.2/24"))


@st.composite
def guests(draw: st.DrawFn) -> GuestIp:
    client = IPv4Interface((draw(HOSTS), draw(st.integers(0, 30))))
    others = st.integers(0, client.network.num_addresses - 1).map(lambda n: client.network[n])
    gateway = draw(st.none() | others.filter(lambda address: address != client.ip))
    name = draw(st.from_regex(r"\A[a-z0-9-]{0,20}\Z"))
    return GuestIp(client, gateway, name, "eth0", tuple(draw(st.lists(HOSTS, max_size=2))))


@given(guests())
def test_what_is_written_is_read(ip: GuestIp) -> None:
    assert parse_guest_ip(ip.parameter("")) == ip


@given(st.text())
def test_any_text_is_an_address_or_a_usage_error(text: str) -> None:
    for parse in (parse_guest_ip, parse_tap):
        try:
            parse(text)
        except UsageError as error:
            assert error.hint


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("10.0.0.2", "prefix is missing"),
        ("10.0.0.2/24,x", "'x'"),
        ("10.0.0.2/24,10.0.1.1", "the gateway 10.0.1.1 is not in the guest's network, 10.0.0.0/24"),
        ("10.0.0.2::10.0.1.1:255.255.255.0", "the gateway 10.0.1.1 is not in the guest's network, 10.0.0.0/24"),
        ("10.0.0.2/24,10.0.0.2", "the gateway 10.0.0.2 is the guest itself"),
        ("::1/64", "client"),
        ("0.0.0.0/24", "nobody's address"),
        ("224.0.0.1/24", "nobody's"),
        ("127.0.0.1/8", "nobody's"),
        ("10.0.0.2:::255.0.255.0", "255.0.255.0"),
        ("10.0.0.2::10.0.0.1", "netmask is missing"),
        ("10.0.0.2:10.0.0.3::255.255.255.0", "server"),
        ("10.0.0.2:::255.255.255.0::eth1", "eth0"),
        ("10.0.0.2:::255.255.255.0:::dhcp", "off"),
        ("10.0.0.2:::255.255.255.0:a b", "host name"),
        (SEED + ":", "11 fields"),
    ],
)
def test_no_addresses(text: str, why: str) -> None:
    with pytest.raises(UsageError, match="is no address for a guest") as caught:
        parse_guest_ip(text)
    assert why in str(caught.value) or why == "client"


@pytest.mark.parametrize("text", ["", "/AA:FC:00:00:00:01", "tap0/", "tap0/AA:FC", "tap0/AA:FC:00:00:00:0g"])
def test_no_taps(text: str) -> None:
    with pytest.raises(UsageError, match="is no tap device"):
        parse_tap(text)


def test_a_hardware_address_of_a_group() -> None:
    with pytest.raises(UsageError, match="of a group"):
        parse_tap("tap0/AB:FC:00:00:00:01")
