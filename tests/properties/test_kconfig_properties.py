"""Any configuration reads back as what was written; any text is a configuration or an error that names the line."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from squib.errors import ApplianceError
from squib.formats.kconfig import dropped, line_of, parse, without

names = st.from_regex(re.compile(r"CONFIG_[A-Z0-9_]{1,8}", re.ASCII), fullmatch=True)
values = st.one_of(
    st.sampled_from(["y", "m", "n"]),
    st.integers(-(10**6), 10**6).map(str),
    st.integers(0, 2**64).map(hex),
    st.from_regex(re.compile(r'"[ -!#-\[\]-~]{0,12}"', re.ASCII), fullmatch=True),
)
configurations = st.dictionaries(names, values, max_size=8)


@given(configurations)
def test_round_trip(configuration: dict[str, str]) -> None:
    text = "# a comment\n\n" + "".join(f"{line_of(*item)}\n" for item in configuration.items())
    assert parse(text, "f") == configuration
    assert dropped(configuration, parse(text, "f")) == ()


@given(configurations, configurations)
def test_what_is_dropped_is_what_differs(wanted: dict[str, str], got: dict[str, str]) -> None:
    lost = dropped(wanted, got)
    assert len(lost) == sum(got.get(name, "n") != value for name, value in wanted.items())


@given(configurations, st.sets(names, max_size=3))
def test_only_what_is_not_set_is_taken_back(configuration: dict[str, str], gone: set[str]) -> None:
    text = "".join(f"{line_of(*item)}\n" for item in configuration.items())
    pattern = re.compile("|".join(map(re.escape, gone)) or r"(?!)")
    left = parse(without(text, pattern), "f")
    assert left == {name: value for name, value in configuration.items() if not (value == "n" and name in gone)}


@given(st.text(max_size=80))
def test_any_text(text: str) -> None:
    try:
        found = parse(text, "f")
    except ApplianceError as error:
        assert str(error).startswith("f:")
    else:
        assert parse("".join(f"{line_of(*item)}\n" for item in found.items()), "f") == found
