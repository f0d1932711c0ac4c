"""QMP, QEMU's machine protocol: the messages that squib sends and reads, with QEMU's own names (docs/interop/qmp-spec.rst).

What we send is exact. Of what we read, members that we do not know are skipped, as the specification demands of a client
("Clients must not assume any particular … set of members"); a known member of a wrong type is an error.
"""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = [
    "CTRL_ALT_DELETE",
    "Command",
    "CommandName",
    "Event",
    "Failure",
    "Greeting",
    "KeyValue",
    "Message",
    "NoArguments",
    "QmpDecodeError",
    "Return",
    "SendKeyArguments",
    "decode",
    "encode",
]


class QmpDecodeError(ValueError):
    """A line that is no QMP message of the server."""


CommandName = Literal["qmp_capabilities", "send-key", "quit"]


class KeyValue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One key, by QEMU's QKeyCode name."""

    data: str
    type: Literal["qcode"] = "qcode"


class SendKeyArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Keys pressed together."""

    keys: tuple[KeyValue, ...]


class NoArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`{}`."""


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A command; QEMU sends `id` back with its answer."""

    execute: CommandName
    id: int
    arguments: SendKeyArguments | NoArguments = NoArguments()


CTRL_ALT_DELETE = SendKeyArguments(keys=(KeyValue("ctrl"), KeyValue("alt"), KeyValue("delete")))


class VersionTriple(msgspec.Struct, frozen=True):
    """QEMU's version."""

    major: int
    minor: int
    micro: int


class VersionInfo(msgspec.Struct, frozen=True):
    """`package` is what a distribution adds."""

    qemu: VersionTriple
    package: str = ""


class GreetingBody(msgspec.Struct, frozen=True):
    """What QEMU says of itself."""

    version: VersionInfo


class Greeting(msgspec.Struct, frozen=True):
    """The first message on a connection."""

    body: GreetingBody = msgspec.field(name="QMP")


class Return(msgspec.Struct, frozen=True):
    """A command succeeded; `value` is what it gives back, undecoded."""

    value: msgspec.Raw = msgspec.field(name="return")
    id: int | None = None


class ErrorBody(msgspec.Struct, frozen=True):
    """`desc` is for people."""

    error_class: str = msgspec.field(name="class")
    desc: str


class Failure(msgspec.Struct, frozen=True):
    """A command failed; `id` is missing where QEMU could not read it."""

    error: ErrorBody
    id: int | None = None


class Event(msgspec.Struct, frozen=True):
    """Something happened in the machine; comes at any time."""

    event: str
    data: msgspec.Raw = msgspec.Raw(b"{}")


Message = Greeting | Return | Failure | Event

_KINDS: tuple[tuple[str, type[Message]], ...] = (("QMP", Greeting), ("return", Return), ("error", Failure), ("event", Event))
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENCODER = msgspec.json.Encoder()


def encode(command: Command) -> bytes:
    """The line that asks for `command`."""
    return _ENCODER.encode(command) + b"\n"


def decode(line: bytes) -> Message:
    """The message in one line. Raises QmpDecodeError."""
    try:
        members = _MEMBERS.decode(line)
        for member, kind in _KINDS:
            if member in members:
                return msgspec.json.decode(line, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise QmpDecodeError(f"not a QMP message: {error}") from error
    raise QmpDecodeError(f"a message of no known kind: {', '.join(sorted(members)) or 'empty'}")
