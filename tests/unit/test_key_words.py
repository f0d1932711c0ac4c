"""The words that name an appliance and set its keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from squib.cli.key_words import KeyWords, key_pairs, split_words
from squib.errors import UsageError
from squib.model.appliance import RESERVED_KEY_NAMES, Appliance, Key, KeyType

SEC = Appliance(
    "sec",
    "sec:answer",
    Path("/"),
    keys=(
        Key("debug", KeyType.BOOL, False, ""),
        Key("n", KeyType.INT, 1, ""),
        Key("greeting", KeyType.STRING, "", ""),
        Key("great", KeyType.STRING, "", ""),
    ),
)
OWN = ("memory", "vmm", "detach")


@pytest.mark.parametrize(
    ("words", "selector", "options"),
    [
        ([], None, ()),
        (["clock"], "clock", ()),
        (["clock", "--port", "8080"], "clock", ("--port", "8080")),
        (["--port=8080", "clock"], "clock", ("--port=8080",)),
        (["--port", "8080", "clock"], "clock", ("--port", "8080")),
        (["--debug", "--n", "5", "sec"], "sec", ("--debug", "--n", "5")),
        (["sec", "--debug", "--n", "5"], "sec", ("--debug", "--n", "5")),
        (["-l", "debug", "sec"], "sec", ("-l", "debug")),
        (["-ldebug", "sec"], "sec", ("-ldebug",)),
        (["--help", "sec"], "sec", ("--help",)),
        (["--", "sec", "--debug"], "sec", ("--debug",)),
        (["--greeting=", "."], ".", ("--greeting=",)),
        (["sec", "other"], "sec", ("other",)),
    ],
)
def test_which_word_names_the_appliance(words: list[str], selector: str | None, options: tuple[str, ...]) -> None:
    assert split_words(words) == KeyWords(selector, options)


@pytest.mark.parametrize(
    ("words", "pairs"),
    [
        (["--debug", "--n", "5"], (("debug", "true"), ("n", "5"))),
        (["--debug=false", "--n=-5"], (("debug", "false"), ("n", "-5"))),
        (["--greeting", "", "--n", "5"], (("greeting", ""), ("n", "5"))),
        (["--gree", "hi"], (("greeting", "hi"),)),
        (["--port", "81"], (("port", "81"),)),
        (["-l", "debug"], (("logs", "debug"),)),
        (["-lhttp:debug"], (("logs", "http:debug"),)),
        (["--logs", "debug", "--"], (("logs", "debug"),)),
        (["--greeting", "-"], (("greeting", "-"),)),
    ],
)
def test_pairs(words: list[str], pairs: tuple[tuple[str, str], ...]) -> None:
    assert key_pairs(SEC, words, OWN) == pairs


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--debug", "5"], "too many words: 5"),
        (["other"], "too many words: other"),
        (["--", "--debug"], "too many words: --debug"),
        (["--n"], "option --n needs a value"),
        (["--n", "--debug"], "option --n needs a value"),
        (["--n", "-5"], "option --n needs a value"),
        (["-l"], "option --logs needs a value"),
        (["--gre", "x"], "--gre may be --great or --greeting"),
        (["--grting", "x"], "unknown option --grting; did you mean --greeting?"),
        (["--memry", "1G"], "unknown option --memry; did you mean --memory?"),
        (["--det"], "unknown option --det; did you mean --detach?"),
        (["--xyz", "1"], "unknown option --xyz"),
        (["-e", "A=b"], "unknown option -e"),
        (["--de"], "--de may be --debug or --detach"),
    ],
)
def test_refused(words: list[str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        key_pairs(SEC, words, OWN)
    assert str(caught.value) == said
    assert caught.value.hint


def test_a_value_that_begins_with_a_dash_has_a_way() -> None:
    with pytest.raises(UsageError) as caught:
        key_pairs(SEC, ["--n", "-5"])
    assert "--n=-5" in caught.value.hint


def test_no_key_is_hidden_by_an_option_of_a_command_that_takes_keys() -> None:
    from squib.cli.boot_report import boot_report
    from squib.cli.measure import memory
    from squib.cli.run import run

    options = {
        name[2:]
        for command in (run, boot_report, memory)
        for param in command.params
        for name in param.opts
        if name[:2] == "--"
    }
    assert options <= RESERVED_KEY_NAMES
