"""The kernel's line as PID 1 reads it."""

from __future__ import annotations

import re

import pytest

from squib.guest.cmdline import ParameterProblem, parse, words


def test_key_values_become_options_and_the_rest_is_the_kernels() -> None:
    parameters = parse(
        b"console=ttyS0 squib.port=8080 root=/dev/vda ro ip=10.0.2.15::10.0.2.2:255.255.255.0:clock:eth0:off squib.logs=info\n"
    )
    assert parameters.argv == ("--port=8080", "--logs=info")
    assert parameters.ip == "10.0.2.15::10.0.2.2:255.255.255.0:clock:eth0:off"


def test_nothing_said() -> None:
    parameters = parse(b"")
    assert (parameters.argv, parameters.ip) == ((), None)


def test_values_are_percent_decoded_utf8() -> None:
    assert parse(b"squib.title=gr%C3%BC%C3%9Fe%20%22you%22%25").argv == ('--title=grüße "you"%',)


def test_the_last_of_two_counts_and_takes_its_place() -> None:
    assert parse(b"squib.port=1 squib.logs=info squib.port=2 ip=off ip=none").argv == ("--logs=info", "--port=2")
    assert parse(b"ip=off ip=none").ip == "none"


def test_what_stands_behind_two_dashes_is_inits() -> None:
    parameters = parse(b"squib.port=1 -- squib.port=2 ip=dhcp")
    assert (parameters.argv, parameters.ip) == (("--port=1",), None)


def test_no_value_at_all_is_the_bare_option() -> None:
    assert parse(b"squib.verbose squib.title=").argv == ("--verbose", "--title=")


def test_quotes_keep_spaces_as_the_kernel_does() -> None:
    assert words(b'a="b c" "d e"=f ""  g') == [b"a=b c", b"d e=f", b"", b"g"]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"squib.a=%", "'%' is not"),
        (b"squib.a=%4", "'%4' is not"),
        (b"squib.a=x%zz", "'%zz' is not"),
        (b"squib.a=%+1", "'%+1' is not"),
        (b"squib.a=%FF", "not UTF-8"),
        (b"squib.a=\xff", "not UTF-8"),
        (b"squib.a=%00", "NUL"),
        (b"squib.=1", "not the name"),
        (b"squib.-a=1", "not the name"),
        (b"squib.\xff=1", "not the name"),
        (b"squib.a.b=1", "not the name"),
    ],
)
def test_what_cannot_be_read_is_named(line: bytes, what: str) -> None:
    with pytest.raises(ParameterProblem, match=re.escape(what)):
        parse(line)
