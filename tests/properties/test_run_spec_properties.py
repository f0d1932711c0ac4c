"""The stored run spec: what was written is read again, and what was not written by us is refused with a remedy."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address, IPv4Interface, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.errors import StorageError
from squib.model.machine import Accel, VmmKind
from squib.model.network import DEFAULT_GUEST_IP, GuestIp
from squib.model.run import Publish, RunSpec
from squib.wire import run_spec

PORTS = st.integers(0, 65535)
ADDRESSES = st.one_of(st.builds(IPv4Address, st.integers(0, 2**32 - 1)), st.builds(IPv6Address, st.integers(0, 2**128 - 1)))
# What a command line can carry: any text but lone surrogates, which UTF-8 has no bytes for.
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SPECS = st.builds(
    RunSpec,
    values=st.lists(st.tuples(TEXT, TEXT)).map(tuple),
    mem_size_mib=st.none() | st.integers(1, 1 << 40),
    vcpu_count=st.none() | st.integers(1, 32),
    publish=st.none() | st.lists(st.builds(Publish, ADDRESSES, PORTS, st.integers(1, 65535))).map(tuple),
    name=st.none() | TEXT,
    accel=st.none() | st.sampled_from(Accel),
    ready_timeout_s=st.floats(1, 1e9),
    vmm=st.none() | st.sampled_from(VmmKind),
    tap=st.none() | st.tuples(TEXT, TEXT),
    guest_ip=st.none() | st.just(DEFAULT_GUEST_IP) | st.just(GuestIp(IPv4Interface("10.0.0.2/30"), hostname="a")),
    host_network=st.booleans(),
    user_network=st.booleans(),
)


@given(SPECS)
def test_decode_undoes_encode(spec: RunSpec) -> None:
    assert run_spec.decode(run_spec.encode(spec)) == spec


def test_every_field_is_kept() -> None:
    assert {field.name for field in dataclasses.fields(RunSpec)} == set(run_spec._RunSpec.__struct_fields__)


def test_what_is_missing_has_its_default() -> None:
    assert run_spec.decode("{}") == RunSpec()


@given(st.text())
def test_any_text_is_a_spec_or_an_error_of_ours(text: str) -> None:
    try:
        run_spec.decode(text)
    except StorageError as error:
        assert "squib rm" in error.hint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"mem_size_mib": "128"}',
        '{"unknown": 1}',
        '{"publish": [{"host_address": "here", "host_port": 1, "guest_port": 1}]}',
        '{"publish": [{"host_address": "::1", "host_port": 65536, "guest_port": 1}]}',
        '{"accel": "xen"}',
        '{"vmm": "xen"}',
        '{"guest_ip": "here"}',
    ],
)
def test_what_is_no_spec(text: str) -> None:
    with pytest.raises(StorageError, match="cannot be read"):
        run_spec.decode(text)
