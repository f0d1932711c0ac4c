"""No command line makes PID 1 fall over, and what is encoded as the ABI says comes back."""

from __future__ import annotations

from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from squib.guest import options
from squib.guest.cmdline import ParameterProblem, parse
from squib.guest.console import encode
from squib.guest.netconf import NetworkProblem
from squib.guest.netconf import parse as parse_ip
from squib.guest.spec import Key, Spec

SPEC = Spec("clock", "", "squib.guest.clock:answer", (Key("port", "port", 80, ""), Key("title", "string", "", "")), ())
NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,15}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
PIECES = st.sampled_from([b"squib.", b"=", b"%", b"ip=", b" ", b'"', b"--", b"port", b"\xff", b"%C3", b"\0", b":", b"."])


@given(st.lists(st.one_of(PIECES, st.binary(max_size=6))).map(b"".join))
def test_any_bytes_are_values_or_one_problem_of_one_line(line: bytes) -> None:
    try:
        parameters = parse(line)
        parse_ip(parameters.ip)
    except (ParameterProblem, NetworkProblem) as problem:
        assert str(problem)
        assert len(str(problem).splitlines()) == 1
    else:
        assert all(option.startswith("--") and "\0" not in option for option in parameters.argv)


@given(st.lists(st.one_of(PIECES, st.binary(max_size=6))).map(b"".join))
def test_any_bytes_give_options_or_a_problem(line: bytes) -> None:
    try:
        chosen = options.parse(SPEC, parse(line).argv, {}, "clock")
    except (ParameterProblem, options.UsageProblem) as problem:
        assert str(problem)
    else:
        assert isinstance(chosen.values["port"], int)


@given(st.dictionaries(NAMES, TEXTS, max_size=5))
def test_what_is_encoded_comes_back(values: dict[str, str]) -> None:
    line = " ".join(f"squib.{name}={quote(value, safe='/:,@+')}" for name, value in values.items())
    assert parse(line.encode("ascii")).argv == tuple(f"--{name}={value}" for name, value in values.items())


@given(st.text())
def test_a_value_on_the_console_is_one_printable_word(value: str) -> None:
    assert all(0x20 < ord(character) < 0x7F for character in encode(value.encode("utf-8", "replace").decode()))
