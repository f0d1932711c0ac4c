"""Ports are asked for by listening, and each refusal has its own words."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from squib.errors import PermissionDeniedError, SquibError, TakenError, UsageError
from squib.host import ports

LOOPBACK = IPv4Address("127.0.0.1")


def test_free_and_taken() -> None:
    port = ports.choose(LOOPBACK)
    ports.check(LOOPBACK, port)
    with socket.create_server(("127.0.0.1", port)):
        with pytest.raises(TakenError, match=f"127.0.0.1:{port} is in use") as caught:
            ports.check(LOOPBACK, port)
        assert "--publish" in caught.value.hint
        assert ports.choose(LOOPBACK, [port]) != port
    assert ports.choose(LOOPBACK, [port]) == port, "a port is free again at once"


def test_not_an_address_of_this_host() -> None:
    with pytest.raises(UsageError, match=r"192\.0\.2\.1 is not an address of this host"):
        ports.check(IPv4Address("192.0.2.1"), 8080)


@pytest.mark.parametrize(
    ("number", "kind", "message"),
    [(13, PermissionDeniedError, "privileged"), (97, UsageError, "no IPv6"), (12, SquibError, "cannot be listened on")],
)
def test_what_the_system_says(monkeypatch: pytest.MonkeyPatch, number: int, kind: type[SquibError], message: str) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(kind, match=message):
        ports.check(IPv6Address("::1") if number == 97 else LOOPBACK, 80)


@pytest.mark.parametrize(("address", "text"), [("127.0.0.1", "127.0.0.1:80"), ("::1", "[::1]:80")])
def test_endpoint(address: str, text: str) -> None:
    assert ports.endpoint(ip_address(address), 80) == text


def test_a_port_that_is_held_is_nobody_elses_and_refuses_who_connects() -> None:
    for holding, wanted in (("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "0.0.0.0")):
        port = ports.choose(IPv4Address(holding))
        with ports.hold(IPv4Address(holding), port):
            with pytest.raises(TakenError):
                ports.check(IPv4Address(wanted), port)
            with pytest.raises(TakenError):
                ports.hold(IPv4Address(wanted), port)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=10)
        ports.check(IPv4Address(wanted), port)
