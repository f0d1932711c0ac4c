"""`ip=`: written as the kernel's documentation has it, and as PID 1 reads it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

from hypothesis import given
from hypothesis import strategies as st

from squib.guest import netconf
from squib.model.network import GuestIp

FOUR = st.ip_addresses(v=4).filter(lambda address: int(address) != 0)


def test_all_ten_fields() -> None:
    ip = GuestIp(IPv4Interface("172.17.100.2/24"), IPv4Address("172.17.100.1"), "webserver", dns=(IPv4Address("172.17.100.1"),))
    assert ip.parameter("other") == "ip=172.17.100.2::172.17.100.1:255.255.255.0:webserver:eth0:off:172.17.100.1::"
    assert GuestIp(IPv4Interface("10.0.0.2/30")).parameter("m-2") == "ip=10.0.0.2:::255.255.255.252:m-2:eth0:off:::"


@given(
    st.builds(
        GuestIp,
        st.builds(lambda a, n: IPv4Interface((a, n)), FOUR, st.integers(0, 32)),
        st.none() | FOUR,
        st.just("") | st.just("a"),
        st.sampled_from(["eth0", "eth1"]),
        st.lists(FOUR, max_size=2).map(tuple),
    )
)
def test_pid_1_reads_what_was_meant(ip: GuestIp) -> None:
    read = netconf.parse(ip.parameter("m").removeprefix("ip="))
    assert isinstance(read, netconf.Static)
    assert read.address == ip.client.ip.packed
    assert read.netmask == ip.client.netmask.packed
    assert read.gateway == (None if ip.gateway is None else ip.gateway.packed)
    assert read.hostname == (ip.hostname or "m")
    assert read.device == ip.device
    assert read.nameservers == tuple(map(str, ip.dns))
