"""slirp4netns's API (slirp4netns(1), "API SOCKET"): one request a connection, as it names things."""

from __future__ import annotations

import msgspec

from squib.model.machine import PortForward

__all__ = ["add_hostfwd", "refusal"]


class _Arguments(msgspec.Struct, frozen=True):
    proto: str
    host_addr: str
    host_port: int
    guest_addr: str
    guest_port: int


class _Request(msgspec.Struct, frozen=True):
    execute: str
    arguments: _Arguments


class _Answer(msgspec.Struct, frozen=True):
    error: msgspec.Raw = msgspec.Raw()


def add_hostfwd(published: PortForward, address: str, port: int) -> bytes:
    """Asks for `published`'s host address and port to lead to `address:port` in the namespace."""
    where = _Arguments("tcp", str(published.host_address), published.host_port, address, port)
    return msgspec.json.encode(_Request("add_hostfwd", where))


def refusal(answer: bytes) -> str:
    """Why it was refused; empty where it was done."""
    try:
        value = msgspec.json.decode(answer, type=_Answer)
    except msgspec.MsgspecError:
        return f"it answered {answer[:200]!r}"
    return bytes(value.error).decode("utf-8", "replace")
