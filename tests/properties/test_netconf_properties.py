"""`ip=` never raises but NetworkProblem, and gives back what was put in."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from squib.guest.netconf import Automatic, NetworkProblem, Static, dotted, parse

ADDRESSES = st.ip_addresses(v=4).filter(lambda address: int(address) != 0)
FIELDS = st.one_of(st.sampled_from(["", "10.0.0.1", "255.255.0.0", "eth0", "off", "dhcp", "h"]), st.text(max_size=20))


@given(st.one_of(st.text(), st.lists(FIELDS, max_size=12).map(":".join)))
def test_any_text_is_a_value_or_a_problem(text: str) -> None:
    try:
        wanted = parse(text)
    except NetworkProblem:
        return
    assert wanted is None or wanted.device
    if isinstance(wanted, Static):
        assert len(wanted.address) == len(wanted.netmask) == 4
        wanted.device.encode("ascii")
    else:
        assert wanted is None or isinstance(wanted, Automatic)


@given(ADDRESSES, ADDRESSES, st.integers(0, 32))
def test_round_trip(address: IPv4Address, gateway: IPv4Address, prefix: int) -> None:
    netmask = str(IPv4Network((0, prefix)).netmask)
    wanted = parse(f"{address}::{gateway}:{netmask}:clock:eth0:off")
    assert isinstance(wanted, Static)
    assert wanted.gateway is not None
    assert (dotted(wanted.address), dotted(wanted.gateway), dotted(wanted.netmask)) == (str(address), str(gateway), netmask)
