"""Name servers of the host that a guest can ask."""

from __future__ import annotations

from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from squib.host.resolvers import parse


def test_loopback_ipv6_and_nonsense_are_passed_over() -> None:
    text = "# nameserver 1.1.1.1\nsearch a.b\nnameserver 127.0.0.53\nnameserver\nnameserver ::1\nnameserver 9.9.9.9 # x\nnameserver 300.1.1.1\n nameserver 10.0.0.1\n"
    assert parse(text) == (IPv4Address("9.9.9.9"), IPv4Address("10.0.0.1"))


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    assert all(not one.is_loopback for one in parse(text))
