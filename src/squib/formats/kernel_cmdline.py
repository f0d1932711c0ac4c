"""The kernel's command line: parameters for PID 1, percent-encoded (docs/guest-abi.md), and the whole line.

The kernel cuts the line at spaces, takes double quotes away and keeps 2,047 bytes (COMMAND_LINE_SIZE, with its NUL): a value
that could be cut or changed on the way is encoded, or refused here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from squib.errors import UsageError

__all__ = ["MAX_COMMAND_LINE", "encode_value", "join", "squib_parameters", "whole"]

MAX_COMMAND_LINE = 2047
"""Bytes, without the final NUL (arch/x86/include/asm/setup.h: COMMAND_LINE_SIZE is 2,048)."""

_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~/:,@+-")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


def encode_value(text: str) -> str:
    """`text` as the ABI writes it: UTF-8, every byte outside `A-Z a-z 0-9 . _ ~ / : , @ + -` as %XX. Raises UsageError."""
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{text!a} is not text: it holds a lone surrogate", hint="give values in UTF-8") from error
    if 0 in data:
        raise UsageError(f"{text!a} holds a NUL character", hint="no parameter can carry one: leave it out")
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in data)


def squib_parameters(values: Mapping[str, str]) -> tuple[str, ...]:
    """`squib.NAME=VALUE` for each value, in the mapping's order. Raises UsageError for what cannot be a name or a value."""
    for name in values:
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name!r} is not the name of an option", hint="use a-z, 0-9, '-' and '_'")
    return tuple(f"squib.{name}={encode_value(value)}" for name, value in values.items())


def join(parameters: Iterable[str]) -> str:
    """One line of all parameters. Raises UsageError where the kernel would read another thing than was meant."""
    return _of_right_size(" ".join(_checked(parameter) for parameter in parameters))


def whole(line: str) -> str:
    """A line that somebody wrote whole, as it is. Raises UsageError where it is too long, or no text in one line."""
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in line):
        raise UsageError(f"the kernel's command line holds a control character: {line!a}", hint="leave it out")
    try:
        line.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"the kernel's command line is not text: {line!a}", hint="give it in UTF-8") from error
    return _of_right_size(line)


def _of_right_size(line: str) -> str:
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
