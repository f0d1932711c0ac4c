"""Whatever the words, the server program's command line is either options or one message; nothing else is raised."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from squib.guest.options import UsageProblem, distance, parse
from squib.guest.spec import Key, Spec

SPEC = Spec(
    "shop",
    "",
    "m:f",
    (Key("greeting", "string", "", ""), Key("great", "bool", default=False, doc=""), Key("count", "int", 1, "")),
    (),
)
WORDS = [
    "--port",
    "--port=",
    "80",
    "--",
    "-",
    "-l",
    "-linfo",
    "--he",
    "--help=",
    "--ips=",
    "::1",
    "--gre",
    "--great",
    "--count=-1",
    "=",
    ",",
    "",
]
words = st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=8), st.text(max_size=8).map("--".__add__)), max_size=6)


@given(words, st.dictionaries(st.sampled_from(["SQUIB_PORT", "SQUIB_LOGS", "MIRAGE_LOGS", "SQUIB_COUNT"]), st.text(max_size=6)))
def test_any_words(argv: list[str], environ: dict[str, str]) -> None:
    try:
        options = parse(SPEC, argv, environ, "shop")
    except UsageProblem as problem:
        assert str(problem).startswith("shop: ")
        return
    assert isinstance(options.values["port"], int)
    assert 1 <= options.values["port"] <= 65535
    assert isinstance(options.values["great"], bool)
    assert options.ips


@given(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.integers(1, 65535), st.integers(-(10**18) + 1, 10**18 - 1))
def test_values_come_out_as_they_went_in(text: str, port: int, count: int) -> None:
    glued = parse(SPEC, [f"--greeting={text}", f"--port={port}", f"--count={count}"], {}, "shop")
    from_environment = parse(SPEC, [], {"SQUIB_GREETING": text, "SQUIB_PORT": str(port), "SQUIB_COUNT": str(count)}, "shop")
    assert glued.values == from_environment.values == {"greeting": text, "great": False, "port": port, "count": count}


@given(st.text(max_size=6), st.text(max_size=6))
def test_the_distance_is_a_distance(one: str, other: str) -> None:
    assert distance(one, other) == distance(other, one)
    assert (distance(one, other) == 0) == (one == other)
    assert abs(len(one) - len(other)) <= distance(one, other) <= max(len(one), len(other))
