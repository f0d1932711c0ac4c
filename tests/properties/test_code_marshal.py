"""Byte code in a form of our own: it says what CPython's says, and the same in every process."""

from __future__ import annotations

import marshal
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.formats import code_marshal

CONSTANTS = st.recursive(
    st.none() | st.booleans() | st.just(...) | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False, allow_infinity=False) | st.binary(max_size=20) | st.text(max_size=300) | st.frozensets(st.text(max_size=3)),
    lambda inner: st.tuples(inner, inner),
    max_leaves=8,
)  # fmt: skip


@given(CONSTANTS)
def test_any_constant_comes_back(value: object) -> None:
    again = marshal.loads(code_marshal.share(marshal.dumps(value, 2)))  # type: ignore[arg-type]  # constants only
    assert again == value
    assert repr(type(again)) == repr(type(value))


def sources() -> list[str]:
    return [str(path) for path in sorted(Path(os.__file__).parent.glob("*.py"))[:60]]


def test_real_modules_come_back_equal_and_smaller() -> None:
    shared = plain = 0
    for path in sources():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code = compile(Path(path).read_bytes(), path, "exec", dont_inherit=True)
        data = code_marshal.dumps(code)
        assert marshal.loads(data) == code
        shared += len(data)
        plain += len(marshal.dumps(code, 2))
    assert shared < 0.9 * plain


SCRIPT = """
import hashlib, sys
for name in sys.argv[2:]: __import__(name)
from squib.formats import code_marshal
whole = hashlib.sha256()
for path in sys.stdin.read().split():
    source = open(path, "rb").read()
    for _ in range(int(sys.argv[1])):
        code = compile(source, "/x.py", "exec", dont_inherit=True)
    whole.update(code_marshal.dumps(code))
print(whole.hexdigest())
"""


def test_the_same_bytes_in_processes_unlike_each_other() -> None:
    some = "\n".join(sources()[:25])
    digests = set()
    for seed, arguments in (
        ("0", ["1"]),
        ("7", ["2", "json", "email.message", "xml.dom.minidom"]),
        ("random", ["1", "argparse"]),
    ):
        digests.add(
            subprocess.run(
                [sys.executable, "-W", "ignore", "-c", SCRIPT, *arguments],
                input=some,
                env={"PYTHONHASHSEED": seed},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
    assert len(digests) == 1


@given(st.binary(max_size=200))
def test_garbage_is_refused_cleanly(data: bytes) -> None:
    import struct

    try:
        code_marshal.share(data)
    except (ValueError, struct.error):
        return


def test_what_code_never_holds_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown kind"):
        code_marshal.share(marshal.dumps({}, 2))
