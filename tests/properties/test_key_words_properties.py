"""The same words give the same keys, whoever reads them: the server program behind `squib serve`, or `squib run`."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from squib.cli.key_words import key_pairs, split_words
from squib.errors import UsageError
from squib.guest import options as guest_options
from squib.guest import spec as guest_spec
from squib.model.appliance import Appliance, Key, KeyType
from squib.model.keys import key_values
from squib.wire import guest_spec as wire

KEYS = (
    Key("debug", KeyType.BOOL, False, ""),
    Key("great", KeyType.BOOL, True, ""),
    Key("greeting", KeyType.STRING, "hello", ""),
    Key("n", KeyType.INT, 1, ""),
    Key("port", KeyType.PORT, 80, ""),
)
APPLIANCE = Appliance("sec", "sec:answer", Path("/"), keys=KEYS)
SPEC = guest_spec.loads(wire.encode(APPLIANCE, ()))
OWN = ("help", "ips", "socket")

names = st.sampled_from(["debug", "great", "greeting", "greet", "gre", "g", "n", "po", "port", "logs", "lo", "debg", "x", ""])
texts = st.sampled_from(
    ["", "5", "-5", "true", "false", "info", "http:debug", "sec", "-", "--", "8080", "0", "99999", "a b", "é", "\n"]
)
words = st.one_of(
    names.map("--{}".format),
    st.tuples(names, texts).map(lambda pair: f"--{pair[0]}={pair[1]}"),
    texts,
    st.sampled_from(["-l", "-linfo", "-l5", "-x", "-e"]),
)


def by_the_server(line: list[str]) -> dict[str, object] | None:
    try:
        read = guest_options.parse(SPEC, line, {}, "squib serve sec")
    except guest_options.UsageProblem:
        return None
    return {**read.values, "logs": read.logs}


def by_run(line: list[str]) -> dict[str, object] | None:
    try:
        given = key_values(APPLIANCE, key_pairs(APPLIANCE, line, OWN))
    except UsageError:
        return None
    # As the guest gets them: each text as the value of its option, none of which can be taken for another.
    return by_the_server([f"--{name}={text}" for name, text in given.items()])


@given(st.lists(words, max_size=5))
def test_the_same_words_give_the_same_keys(line: list[str]) -> None:
    assert by_run(line) == by_the_server(line)


@given(st.text("qinfodebug*:, ", max_size=12) | st.sampled_from(["info,http:debug", "*:quiet", ":info"]))
def test_log_levels_are_refused_by_both_or_by_neither(text: str) -> None:
    assert (by_run([f"--logs={text}"]) is None) == (by_the_server([f"--logs={text}"]) is None)
    try:
        key_values(APPLIANCE, (("logs", text),))
    except UsageError:
        assert by_the_server([f"--logs={text}"]) is None


@given(st.lists(words, max_size=5))
def test_the_appliance_first_is_what_is_named(line: list[str]) -> None:
    found = split_words(["sec", *line])
    assert (found.selector, list(found.options)) == ("sec", line)


@given(st.lists(st.text(max_size=6), max_size=6))
def test_no_words_are_lost(line: list[str]) -> None:
    found = split_words(line)
    kept = [*found.options] if found.selector is None else [found.selector, *found.options]
    assert sorted([*kept, "--"] if len(kept) < len(line) else kept) == sorted(line)
