from __future__ import annotations

import pytest

from squib.errors import UsageError
from squib.formats.kernel_cmdline import MAX_COMMAND_LINE, encode_value, join, squib_parameters


def test_values_are_encoded_as_the_abi_says() -> None:
    assert encode_value("a b%\"'é/:,@+-._~") == "a%20b%25%22%27%C3%A9/:,@+-._~"


@pytest.mark.parametrize("value", ["a\0b", "\udc80"])
def test_what_no_parameter_can_carry_is_refused(value: str) -> None:
    with pytest.raises(UsageError):
        encode_value(value)


def test_parameters_keep_their_order() -> None:
    assert squib_parameters({"port": "80", "greeting": "a b"}) == ("squib.port=80", "squib.greeting=a%20b")


@pytest.mark.parametrize("name", ["", "-a", "A", "a b", "a=b", "a.b", "é"])
def test_names_are_checked(name: str) -> None:
    with pytest.raises(UsageError):
        squib_parameters({name: "x"})


def test_a_line_as_long_as_the_kernel_takes() -> None:
    assert len(join(["a" * 1000, "b" * (MAX_COMMAND_LINE - 1001)])) == MAX_COMMAND_LINE
    with pytest.raises(UsageError, match="2,048"):
        join(["a" * 1000, "b" * (MAX_COMMAND_LINE - 1000)])


@pytest.mark.parametrize("parameter", ["", "a b", "a\nb", "a\0", 'a="b', "a\x7f", "\udc80"])
def test_what_the_kernel_would_cut_or_change_is_refused(parameter: str) -> None:
    with pytest.raises(UsageError):
        join(["quiet", parameter])


def test_a_quoted_space_stays() -> None:
    assert join(["quiet", 'dyndbg="file a +p"']) == 'quiet dyndbg="file a +p"'
