"""What `squib run` leaves over: the appliance and its keys."""

from __future__ import annotations

import pytest

from squib.cli.key_arguments import split_arguments
from squib.errors import UsageError


@pytest.mark.parametrize(
    ("words", "selector", "pairs"),
    [
        ([], None, ()),
        (["clock"], "clock", ()),
        (["clock", "--port", "8080"], "clock", (("port", "8080"),)),
        (["--port=8080", "clock"], "clock", (("port", "8080"),)),
        (["--greeting", "--loud", "clock"], "clock", (("greeting", "--loud"),)),
        (["--greeting=", "."], ".", (("greeting", ""),)),
        (["--a", "1", "--a", "2"], None, (("a", "1"), ("a", "2"))),
    ],
)
def test_split(words: list[str], selector: str | None, pairs: tuple[tuple[str, str], ...]) -> None:
    assert split_arguments(words) == (selector, pairs)


@pytest.mark.parametrize("words", [["a", "b"], ["--port"], ["-x"], ["clock", "-x", "1"]])
def test_refused(words: list[str]) -> None:
    with pytest.raises(UsageError):
        split_arguments(words)
