"""The kernel's command line: parameters for PID 1, percent-encoded (docs/guest-abi.md), and the whole line.

The kernel cuts the line at spaces, takes double quotes away and keeps 2,047 bytes (COMMAND_LINE_SIZE, with its NUL): a value
that could be cut or changed on the way is encoded, or refused here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from squib.errors import UsageError

__all__ = ["MAX_COMMAND_LINE", "decode_value", "encode_value", "join", "squib_parameters"]

MAX_COMMAND_LINE = 2047
"""Bytes, without the final NUL (arch/x86/include/asm/setup.h: COMMAND_LINE_SIZE is 2,048)."""

_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~/:,@+-")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_ENCODED = re.compile(rb"(?:[A-Za-z0-9._~/:,@+-]|%[0-9A-F]{2})*")
_ESCAPE = re.compile(rb"%([0-9A-F]{2})")


def encode_value(text: str) -> str:
    """`text` as the ABI writes it: UTF-8, every byte outside `A-Z a-z 0-9 . _ ~ / : , @ + -` as %XX. Raises UsageError."""
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{text!a} is not text: it holds a lone surrogate", hint="give values in UTF-8") from error
    if 0 in data:
        raise UsageError(f"{text!a} holds a NUL character", hint="no parameter can carry one: leave it out")
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in data)


def decode_value(encoded: str) -> str:
    """What `encode_value` was given. Raises ValueError for what it cannot have made."""
    data = encoded.encode("ascii")  # UnicodeEncodeError is a ValueError
    if not _ENCODED.fullmatch(data):
        raise ValueError(f"not percent-encoded as the guest ABI says: {encoded!r}")
    text = _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), data).decode()
    if encode_value(text) != encoded:
        raise ValueError(f"encodes a byte that stands for itself: {encoded!r}")
    return text


def squib_parameters(values: Mapping[str, str]) -> tuple[str, ...]:
    """`squib.NAME=VALUE` for each value, in the mapping's order. Raises UsageError for what cannot be a name or a value."""
    for name in values:
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name!r} is not the name of an option", hint="use a-z, 0-9, '-' and '_'")
    return tuple(f"squib.{name}={encode_value(value)}" for name, value in values.items())


def join(parameters: Iterable[str]) -> str:
    """One line of all parameters. Raises UsageError where the kernel would read another thing than was meant."""
    line = " ".join(_checked(parameter) for parameter in parameters)
    size = len(line.encode())
    if size > MAX_COMMAND_LINE:
        raise UsageError(
            f"the kernel's command line would be {size:,} bytes long; the kernel takes {MAX_COMMAND_LINE:,}",
            hint="give shorter or fewer values",
        )
    return line


def _checked(parameter: str) -> str:
    if not parameter:
        raise UsageError("an empty kernel parameter", hint="leave it out")
    try:
        parameter.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"kernel parameter {parameter!a} is not text", hint="give it in UTF-8") from error
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in parameter):
        raise UsageError(f"kernel parameter {parameter!a} holds a control character", hint="leave it out")
    quoted = False
    for character in parameter:
        if character == '"':
            quoted = not quoted
        elif character == " " and not quoted:
            raise UsageError(f"kernel parameter {parameter!r} holds a space", hint='write it in double quotes: NAME="A B"')
    if quoted:
        raise UsageError(f"kernel parameter {parameter!r} opens a quote and does not close it", hint="close it")
    return parameter
