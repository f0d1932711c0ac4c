"""The server program's command line, as cmdliner reads it: long names by any unambiguous prefix, `--name=V` and `--name V`,
values also from the environment, one clear message for each mistake.

The command line beats the environment, which beats the default; nothing is merged. `--help` beats every mistake.
"""  # noqa: D205 - one sentence

from __future__ import annotations

import _socket

from squib.guest.logs import LEVELS
from squib.guest.spec import Key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from squib.guest.logs import Threshold
    from squib.guest.spec import Spec

HELP_FORMATS = ("auto", "pager", "groff", "plain")
DEFAULT_IPS = ("0.0.0.0",)  # noqa: S104 - a server in a machine of its own answers on all its addresses
IMPLIED_PORT = Key("port", "port", 80, "Listening HTTP port.")
_OWN = ("help", "ips", "logs", "socket")
_INT_DIGITS = 18
_MAX_PORT = 65535
_MOST_EDITS, _LONGEST_TYPED = 3, 64
"""What is near: as squib.model.near has it."""


class UsageProblem(Exception):  # noqa: N818 - what the guest reports are problems; the exit status says "usage"
    """The command line is wrong; `str()` is the whole message, of several lines."""


class _Wrong(Exception):  # noqa: N818 - becomes a UsageProblem
    """One mistake, in a line."""


class Options:
    """`values`: key name → bool, int or str; `ips`, `socket`: where to listen; `help`: one of HELP_FORMATS, if asked for."""

    __slots__ = ("help", "ips", "logs", "socket", "values")

    def __init__(
        self,
        values: dict[str, object],
        *,
        ips: tuple[str, ...] = DEFAULT_IPS,
        socket: str | None = None,
        logs: tuple[Threshold, ...] = (),
        help_format: str | None = None,
    ) -> None:
        self.values = values
        self.ips = ips
        self.socket = socket
        self.logs = logs
        self.help = help_format


def all_keys(spec: Spec) -> tuple[Key, ...]:
    """The appliance's keys, with the port that every server has."""
    return spec.keys if any(key.name == "port" for key in spec.keys) else (IMPLIED_PORT, *spec.keys)


def variable(key: str) -> str:
    """The environment variable of a key."""
    return "SQUIB_" + key.upper().replace("-", "_")


def parse(spec: Spec, argv: Sequence[str], environ: Mapping[str, str], command: str) -> Options:
    """What `argv`, without the program's name, and `environ` say. Raises UsageProblem."""
    keys = {key.name: key for key in all_keys(spec)}
    try:
        help_format = _find_help(argv, (*keys, *_OWN))
        if help_format is not None:
            return Options({name: key.default for name, key in keys.items()}, help_format=help_format)
        given = _split(argv, keys)
        values = {name: _key_value(key, given, environ) for name, key in keys.items()}
        return Options(
            values,
            ips=_ips(given["ips"]) if "ips" in given else DEFAULT_IPS,
            socket=_socket_path(given["socket"]) if "socket" in given else None,
            logs=_logs(given, environ),
        )
    except _Wrong as wrong:
        usage = f"Usage: {command} [OPTION]...\nTry `{command} --help' for more information."
        raise UsageProblem(f"{spec.name}: {wrong}\n{usage}") from None


def _find_help(argv: Sequence[str], names: Sequence[str]) -> str | None:
    """The format of the first --help; -h is short for it, as in squib's other commands."""
    for argument in _until_double_dash(argv):
        if argument == "-h":
            return "auto"
        name, equals, value = argument.partition("=")
        if not name.startswith("--") or len(name) < 3:
            continue
        if name != "--help" and _matches(name[2:], names) != ["help"]:
            continue
        if not equals:
            return "auto"
        found = [known for known in HELP_FORMATS if known.startswith(value)] if value else []
        if len(found) != 1:
            raise _invalid("--help", value, "one of `auto', `pager', `groff' or `plain'")
        return found[0]
    return None


def _until_double_dash(argv: Sequence[str]) -> Iterable[str]:
    for argument in argv:
        if argument == "--":
            return
        yield argument


def _split(argv: Sequence[str], keys: Mapping[str, Key]) -> dict[str, str]:
    """Option name → value as typed."""
    given: dict[str, str] = {}
    names = (*keys, *_OWN)
    at = 0
    while at < len(argv):
        argument = argv[at]
        at += 1
        if argument == "--":
            _no_positionals(argv[at:])
            break
        if argument == "-" or not argument.startswith("-"):
            _no_positionals(argv[at - 1 :])
        name, shown, value = _one(argument, names)
        if value is None:
            if name in keys and keys[name].type == "bool":
                value = "true"
            elif at < len(argv) and not (argv[at].startswith("-") and len(argv[at]) > 1):
                value = argv[at]
                at += 1
            else:
                raise _Wrong(f"option `{shown}' needs an argument")
        if name in given:
            raise _Wrong(f"option `{shown}' cannot be repeated")
        given[name] = value
    return given


def _no_positionals(rest: Sequence[str]) -> None:
    found = [argument for argument in rest if argument == "-" or not argument.startswith("-")] or list(rest)
    if found:
        shown = ", ".join(f"`{argument}'" for argument in found)
        raise _Wrong(f"too many arguments, don't know what to do with {shown}")


def _one(argument: str, names: Sequence[str]) -> tuple[str, str, str | None]:
    """The name of an option, how to show it, and the value that stands in the same argument."""
    if not argument.startswith("--"):
        if argument.startswith("-l"):
            return "logs", "-l", argument[2:] or None
        raise _unknown(argument[:2], names)
    typed, equals, value = argument.partition("=")
    found = _matches(typed[2:], names)
    if not found:
        raise _unknown(typed, names)
    if len(found) > 1:
        shown = " or ".join(f"`--{name}'" for name in found)
        raise _Wrong(f"option `{typed}' ambiguous and could be either {shown}")
    return found[0], f"--{found[0]}", value if equals else None


def _matches(prefix: str, names: Sequence[str]) -> list[str]:
    if not prefix:
        return []
    return [prefix] if prefix in names else sorted({name for name in names if name.startswith(prefix)})


def _unknown(typed: str, names: Sequence[str]) -> _Wrong:
    name = typed.lstrip("-")
    near = sorted((distance(name, one), one) for one in names) if len(name) <= _LONGEST_TYPED else []
    near = [one for one in near if one[0] <= min(_MOST_EDITS, max(len(name), len(one[1])) // 3)]
    if typed.startswith("--") and near:
        return _Wrong(f"unknown option `{typed}', did you mean `--{near[0][1]}'?")
    return _Wrong(f"unknown option `{typed}'.")


def distance(one: str, other: str) -> int:
    """How many letters must be changed, put in or taken out, or swapped with the next, to make `one` into `other`."""
    before: list[int] = []
    last = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        current = [row]
        for column, wanted in enumerate(other, 1):
            cost = min(current[-1] + 1, last[column] + 1, last[column - 1] + (letter != wanted))
            if row > 1 and column > 1 and letter == other[column - 2] and one[row - 2] == wanted:
                cost = min(cost, before[column - 2] + 1)
            current.append(cost)
        before, last = last, current
    return last[-1]


def _key_value(key: Key, given: Mapping[str, str], environ: Mapping[str, str]) -> object:
    if key.name in given:
        return typed_value(key, given[key.name], f"option `--{key.name}'")
    name = variable(key.name)
    if name in environ:
        return typed_value(key, environ[name], f"environment variable `{name}'")
    return key.default


def typed_value(key: Key, text: str, where: str) -> object:
    """`text` as a value of the key's type; squib.model.keys takes the same words. Raises a mistake that names `where`."""
    if key.type == "bool":
        if text in ("true", "false"):
            return text == "true"
        raise _Wrong(f"{where}: invalid value `{text}', expected true or false")
    if key.type == "int":
        digits = text[1:] if text[:1] in ("+", "-") else text
        if digits.isascii() and digits.isdigit() and len(digits) <= _INT_DIGITS:
            return int(text)
        raise _Wrong(f"{where}: invalid value `{text}', expected a whole number")
    if key.type == "port":
        if text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= _MAX_PORT:
            return int(text)
        raise _Wrong(f"{where}: invalid value `{text}', expected a port, 1 to {_MAX_PORT}")
    if text.isprintable():
        return text
    raise _Wrong(f"{where}: invalid value {text!a}, expected one line of text")


def _invalid(option: str, value: str, expected: str) -> _Wrong:
    return _Wrong(f"option `{option}': invalid value `{value}', expected {expected}")


def _ips(text: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for part in text.split(","):
        if not _is_address(part):
            raise _invalid("--ips", text, f"a comma-separated list of IP addresses; `{part}' is none")
        found[part] = None
    return tuple(found)


def _is_address(text: str) -> bool:
    try:
        _socket.inet_pton(_socket.AF_INET6 if ":" in text else _socket.AF_INET, text)
    except (OSError, ValueError):
        return False
    return True


def _socket_path(text: str) -> str:
    if not text or not text.isprintable():
        raise _invalid("--socket", ascii(text)[1:-1], "the path of a Unix-domain socket")
    return text


def _logs(given: Mapping[str, str], environ: Mapping[str, str]) -> tuple[Threshold, ...]:
    if "logs" in given:
        return thresholds(given["logs"], "option `--logs'")
    for name in ("SQUIB_LOGS", "MIRAGE_LOGS"):
        if name in environ:
            return thresholds(environ[name], f"environment variable `{name}'")
    return ()


def thresholds(text: str, where: str) -> tuple[Threshold, ...]:
    """`info`, `*:info` or `http:debug`, several with commas between."""
    found = []
    for part in text.split(","):
        source, colon, level = part.rpartition(":")
        if level not in LEVELS or (colon and not source) or not source.isprintable():
            expected = "LEVEL or SOURCE:LEVEL with LEVEL one of " + ", ".join(LEVELS)
            raise _Wrong(f"{where}: invalid value `{text}', expected {expected}")
        found.append((source or "*", LEVELS[level]))
    return tuple(found)
