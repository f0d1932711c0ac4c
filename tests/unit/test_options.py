"""The server program's command line: what each line means, or the one message that says why it means nothing."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from squib.guest.logs import DEBUG, INFO, QUIET, WARNING
from squib.guest.options import Options, UsageProblem, distance, parse
from squib.guest.spec import Key, Spec
from squib.model.appliance import Key as HostKey
from squib.model.appliance import KeyType
from squib.model.keys import check_value

KEYS = (
    Key("greeting", "string", "hello", "What to say."),
    Key("great", "bool", False, "Whether loudly."),
    Key("count", "int", 3, "How often."),
)
SPEC = Spec("clock", "says it", "shop:answer", KEYS, ())


def read(*argv: str, environ: Mapping[str, str] | None = None) -> Options:
    return parse(SPEC, argv, environ or {}, "squib serve shop")


def problem(*argv: str, environ: Mapping[str, str] | None = None) -> str:
    with pytest.raises(UsageProblem) as caught:
        read(*argv, environ=environ)
    first, usage, hint = str(caught.value).split("\n")
    assert usage == "Usage: squib serve shop [OPTION]..."
    assert hint == "Try `squib serve shop --help' for more information."
    assert first.startswith("clock: ")
    return first.removeprefix("clock: ")


def test_defaults() -> None:
    options = read()
    assert options.values == {"port": 80, "greeting": "hello", "great": False, "count": 3}
    assert (options.ips, options.socket, options.logs, options.help) == (("0.0.0.0",), None, (), None)


def test_a_key_port_of_its_own_replaces_the_implied_one() -> None:
    spec = Spec("a", "", "m:f", (Key("port", "port", 8080, "Mine."),), ())
    assert parse(spec, [], {}, "a").values == {"port": 8080}


@pytest.mark.parametrize(
    ("argv", "name", "value"),
    [
        (["--port=8080"], "port", 8080),
        (["--port", "8080"], "port", 8080),
        (["--po", "1"], "port", 1),
        (["--p=65535"], "port", 65535),
        (["--count=-5"], "count", -5),
        (["--count=+5"], "count", 5),
        (["--great"], "great", True),
        (["--great=false"], "great", False),
        (["--greeting="], "greeting", ""),
        (["--greeting=a=b"], "greeting", "a=b"),
        (["--gree", "good day"], "greeting", "good day"),
    ],
)
def test_values(argv: list[str], name: str, value: object) -> None:
    assert read(*argv).values[name] == value


def test_addresses_sockets_and_logs() -> None:
    options = read("--ips=127.0.0.1,::1,127.0.0.1", "--socket", "/run/x", "-l", "warning,http:debug")
    assert options.ips == ("127.0.0.1", "::1")
    assert options.socket == "/run/x"
    assert options.logs == (("*", WARNING), ("http", DEBUG))
    assert read("-lquiet").logs == (("*", QUIET),)
    assert read("--logs=*:info").logs == (("*", INFO),)


def test_command_line_beats_environment_beats_default() -> None:
    environ = {"SQUIB_PORT": "81", "SQUIB_COUNT": "x", "SQUIB_LOGS": "debug", "MIRAGE_LOGS": "quiet"}
    options = read("--count=1", environ=environ)
    assert options.values["port"] == 81
    assert options.values["count"] == 1
    assert options.logs == (("*", DEBUG),)
    assert read(environ={"MIRAGE_LOGS": "quiet"}).logs == (("*", QUIET),)
    assert read("-l", "info", environ=environ | {"SQUIB_COUNT": "2"}).logs == (("*", INFO),)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--prot=80"], "unknown option `--prot', did you mean `--port'?"),
        (["--nothing"], "unknown option `--nothing'."),
        (["-x"], "unknown option `-x'."),
        (["--gre=1"], "option `--gre' ambiguous and could be either `--great' or `--greeting'"),
        (["--port"], "option `--port' needs an argument"),
        (["--port", "--count=1"], "option `--port' needs an argument"),
        (["-l"], "option `-l' needs an argument"),
        (["--port=1", "--po=2"], "option `--port' cannot be repeated"),
        (["--port=0"], "option `--port': invalid value `0', expected a port, 1 to 65535"),
        (["--port=65536"], "option `--port': invalid value `65536', expected a port, 1 to 65535"),
        (["--port=eighty"], "option `--port': invalid value `eighty', expected a port, 1 to 65535"),
        (["--port="], "option `--port': invalid value `', expected a port, 1 to 65535"),
        (["--count=1.5"], "option `--count': invalid value `1.5', expected a whole number"),
        (["--great=yes"], "option `--great': invalid value `yes', expected true or false"),
        (["a", "b"], "too many arguments, don't know what to do with `a', `b'"),
        (["--", "a"], "too many arguments, don't know what to do with `a'"),
        (["--ips="], "option `--ips': invalid value `', expected a comma-separated list of IP addresses; `' is none"),
        (["--ips=1.2.3"], "option `--ips': invalid value `1.2.3', expected a comma-separated list of IP addresses; `1.2.3' is none"),
        (["--socket="], "option `--socket': invalid value `', expected the path of a Unix-domain socket"),
        (["--help=html"], "option `--help': invalid value `html', expected one of `auto', `pager', `groff' or `plain'"),
        (["--help=p"], "option `--help': invalid value `p', expected one of `auto', `pager', `groff' or `plain'"),
    ],
)  # fmt: skip
def test_mistakes(argv: list[str], message: str) -> None:
    assert problem(*argv) == message


@pytest.mark.parametrize("text", ["", "loud", "http:", ":info", "info,", "a:b:c"])
def test_levels_that_are_none(text: str) -> None:
    expected = f"invalid value `{text}', expected LEVEL or SOURCE:LEVEL with LEVEL one of quiet, error, warning, info, debug"
    assert problem(f"--logs={text}") == f"option `--logs': {expected}"
    assert problem(environ={"MIRAGE_LOGS": text}) == f"environment variable `MIRAGE_LOGS': {expected}"


def test_a_bad_environment_is_named() -> None:
    expected = "environment variable `SQUIB_PORT': invalid value `x', expected a port, 1 to 65535"
    assert problem(environ={"SQUIB_PORT": "x"}) == expected


@pytest.mark.parametrize(
    ("argv", "fmt"),
    [
        (["--help"], "auto"),
        (["--he"], "auto"),
        (["--port=x", "--nothing", "--help=groff"], "groff"),
        (["--help=pl"], "plain"),
        (["--port", "--help=pa"], "pager"),
    ],
)
def test_help_beats_every_mistake(argv: list[str], fmt: str) -> None:
    assert read(*argv).help == fmt


@pytest.mark.parametrize(
    ("one", "other", "steps"), [("", "", 0), ("prot", "port", 1), ("a", "", 1), ("logs", "lags", 1), ("abc", "xyz", 3)]
)
def test_distance(one: str, other: str, steps: int) -> None:
    assert distance(one, other) == distance(other, one) == steps


@pytest.mark.parametrize("type_", list(KeyType))
@pytest.mark.parametrize(
    "text",
    [
        "",
        "true",
        "True",
        "0",
        "1",
        "80",
        "065535",
        "65535",
        "65536",
        "-1",
        "+1",
        "1_0",
        "9" * 18,
        "9" * 19,
        "٣",
        "a b",
        "a\nb",
        "\0",
        " 1",
    ],
)
def test_both_sides_take_the_same_words(type_: KeyType, text: str) -> None:
    """What `squib run` lets through, the guest takes, and the other way round."""

    def takes_host() -> bool:
        try:
            check_value(HostKey("k", type_, 0, ""), text)
        except Exception:  # noqa: BLE001 - any refusal
            return False
        return True

    def takes_guest() -> bool:
        try:
            parse(Spec("a", "", "m:f", (Key("k", type_.value, 0, ""),), ()), [f"--k={text}"], {}, "a")
        except UsageProblem:
            return False
        return True

    assert takes_host() == takes_guest()
