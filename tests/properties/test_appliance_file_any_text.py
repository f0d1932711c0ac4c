"""Whatever stands in an appliance file: an appliance or an ApplianceError with file and line, nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from squib.errors import ApplianceError
from squib.wire.appliance_file import decode

GOOD = [
    'name = "a"',
    'serve = "a:b"',
    "[keys.x]",
    'type = "int"',
    "default = 1",
    "[machine]",
    'memory = "64M"',
    "vcpus = 1",
    "[network]",
    "ports = [80]",
    "[image]",
    'include = ["a"]',
]
lines = st.lists(st.one_of(st.sampled_from(GOOD), st.text(max_size=20)), max_size=14).map("\n".join)
damaged = st.tuples(st.integers(0, 200), st.integers(0, 5), st.text(max_size=4)).map(
    lambda at: "\n".join(GOOD)[: at[0]] + at[2] + "\n".join(GOOD)[at[0] + at[1] :]
)


@given(st.one_of(st.text(), lines, damaged))
def test_an_appliance_or_a_clear_error(text: str) -> None:
    try:
        decode(text, Path("/srv/appliance.toml"))
    except ApplianceError as error:
        assert re.match(r"/srv/appliance\.toml:[1-9][0-9]*: ", str(error))
