"""The kernel's command line as PID 1 reads it: key values and the network (docs/guest-abi.md, "Kernel command line").

Pure: bytes in, values out. Any bytes give either values or a `ParameterProblem`; nothing else is raised.
"""

from __future__ import annotations

PREFIX = b"squib."
MARKS = b"squib-boot.marks"
"""Not of the options: those are the appliance's, and a key may have any name."""
_SPACE = b" \t\n\v\f\r"
_HEX = b"0123456789abcdefABCDEF"
_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")


class ParameterProblem(Exception):  # noqa: N818 - what the guest reports are problems; the machine's status says "usage"
    """A `squib.` parameter that cannot be read; `str()` is one line for people."""


class Parameters:
    """`argv`: `--NAME=VALUE` of each `squib.NAME=VALUE`, in order; `ip`: what `ip=` says, or None without one.

    `marks`: whether somebody wants to know when each step of the start was reached.
    """

    __slots__ = ("argv", "ip", "marks")

    def __init__(self, argv: tuple[str, ...], ip: str | None, *, marks: bool = False) -> None:
        self.argv = argv
        self.ip = ip
        self.marks = marks


def parse(line: bytes) -> Parameters:
    """What the line says to PID 1; of a parameter that stands twice, the last one. Raises ParameterProblem."""
    values: dict[str, str] = {}
    ip = None
    marks = False
    for word in words(line):
        name, equals, value = word.partition(b"=")
        if name == b"--":
            break  # the rest is init's arguments (Documentation/admin-guide/kernel-parameters.rst)
        if name == b"ip" and equals:
            ip = value.decode("ascii", "backslashreplace")
        elif name == MARKS:
            marks = True
        elif name.startswith(PREFIX):
            option = _option_name(name)
            values.pop(option, None)
            values[option] = f"--{option}={percent_decode(option, value)}" if equals else f"--{option}"
    return Parameters(tuple(values.values()), ip, marks=marks)


def words(line: bytes) -> list[bytes]:
    """The parameters, cut as the kernel cuts them (lib/cmdline.c, next_arg): a double quote keeps spaces and is dropped."""
    found: list[bytes] = []
    word = bytearray()
    begun = quoted = False
    for byte in line:
        if byte == 0x22:
            quoted = not quoted
            begun = True
        elif byte in _SPACE and not quoted:
            if begun:
                found.append(bytes(word))
            word.clear()
            begun = False
        else:
            word.append(byte)
            begun = True
    if begun:
        found.append(bytes(word))
    return found


def _option_name(name: bytes) -> str:
    option = name[len(PREFIX) :].decode("latin-1")
    if not option or option[0] in "-_" or not _NAME.issuperset(option):
        raise ParameterProblem(f"kernel parameter squib.{ascii(option)[1:-1]}: that is not the name of an option")
    return option


def percent_decode(option: str, value: bytes) -> str:
    """The text that `value` encodes (RFC 3986 §2.1, UTF-8). Raises ParameterProblem, which names `option`."""
    head, *rest = value.split(b"%")
    decoded = bytearray(head)
    for part in rest:
        digits = part[:2]
        if len(digits) < 2 or digits[0] not in _HEX or digits[1] not in _HEX:
            shown = ascii("%" + digits.decode("latin-1"))
            raise ParameterProblem(f"kernel parameter squib.{option}: {shown} is not a percent sign and two hex digits")
        decoded.append(int(digits, 16))
        decoded += part[2:]
    try:
        text = decoded.decode("utf-8")
    except UnicodeDecodeError:
        raise ParameterProblem(f"kernel parameter squib.{option}: the value is not UTF-8") from None
    if "\0" in text:
        raise ParameterProblem(f"kernel parameter squib.{option}: the value has a NUL byte")
    return text
