"""What squib tells the process that makes a machine's namespace comes out as it went in; anything else is an error of ours."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib import errors
from squib.errors import HostError, SquibError
from squib.host.process import ProcessIdentity, parse_identity
from squib.model.host_network import Slot
from squib.model.machine import PortForward
from squib.model.namespace_network import NamespaceNetwork, WayOut, WayOutProgram
from squib.net import ruleset, way_out
from squib.net.namespace import settings
from squib.wire import namespace_network

PORTS = st.integers(1, 65535)
ADDRESSES = st.builds(IPv4Address, st.integers(0, 2**32 - 1))
INTERFACES = st.builds(lambda address, bits: IPv4Interface((address, bits)), ADDRESSES, st.integers(8, 30))
NETWORKS = INTERFACES.map(lambda interface: interface.network)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
FORWARDS = st.lists(st.builds(PortForward, ADDRESSES, PORTS, PORTS), max_size=5).map(tuple)
SPECS = st.builds(
    NamespaceNetwork,
    slot=st.builds(Slot, TEXT, INTERFACES, INTERFACES, TEXT),
    uplink=ADDRESSES.map(lambda address: IPv4Network((int(address) & ~0xFF, 24))),
    way_out=st.builds(WayOutProgram, st.sampled_from(WayOut), TEXT.map(lambda name: Path("/", name))),
    outbound=st.booleans(),
    published=FORWARDS,
    closed=st.lists(NETWORKS, max_size=3).map(tuple),
)
KINDS = [kind for name in errors.__all__ if (kind := getattr(errors, name)) is not SquibError]


@given(SPECS)
def test_decode_undoes_encode(network: NamespaceNetwork) -> None:
    assert namespace_network.decode(namespace_network.encode(network)) == network


@given(st.binary())
def test_any_bytes_are_a_network_or_an_error_of_ours(data: bytes) -> None:
    with pytest.raises(HostError):
        namespace_network.decode(data)


@given(st.sampled_from(KINDS), TEXT, TEXT, TEXT)
def test_a_failure_keeps_its_kind_and_words(kind: type[SquibError], message: str, hint: str, detail: str) -> None:
    error = namespace_network.decode_failure(namespace_network.encode_failure(kind(message, hint=hint, detail=detail)))
    assert (type(error), str(error), error.hint, error.detail) == (kind, message, hint, detail)


@given(st.binary())
def test_any_other_words_are_a_failure_too(data: bytes) -> None:
    assert isinstance(namespace_network.decode_failure(data), HostError)


@given(SPECS)
def test_what_is_published_is_all_that_is_forwarded_and_the_host_is_never_mapped(network: NamespaceNetwork) -> None:
    line = way_out.argv(network, 17, 5, uid=1000)
    pairs = list(pairwise(line))
    match network.way_out.kind:
        case WayOut.PASTA:
            specs = [value for option, value in pairs if option == "--tcp-ports"]
            wanted = [f"{one.host_address}/{one.host_port}:{inside}" for inside, one in network.carried]
            assert specs == (wanted or ["none"])
            assert {("--udp-ports", "none"), ("--tcp-ns", "none"), ("--udp-ns", "none")} <= set(pairs)
            assert "--no-map-gw" in line
        case WayOut.SLIRP4NETNS:
            assert {"--disable-host-loopback", "--enable-sandbox", "--enable-seccomp"} <= set(line)
    assert "17" in line


@given(SPECS)
def test_the_namespaces_rules_are_the_hosts(network: NamespaceNetwork) -> None:
    own = ruleset.create_table(settings(network), closed=network.closed)
    hosts = ruleset.create_table(settings(network))
    assert [command for command in own if command in hosts] == list(hosts), "only more is dropped"
    assert len(own) == len(hosts) + len(network.closed)


@given(st.builds(ProcessIdentity, st.integers(0, 2**31), st.integers(0, 2**63), st.uuids().map(str)))
def test_an_identity_is_read_back(identity: ProcessIdentity) -> None:
    assert parse_identity(str(identity)) == identity


@given(st.text())
def test_any_text_is_an_identity_or_none(text: str) -> None:
    found = parse_identity(text)
    assert found is None or parse_identity(str(found)) == found
