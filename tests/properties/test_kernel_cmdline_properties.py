from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from squib.formats.kernel_cmdline import MAX_COMMAND_LINE, encode_value, join, squib_parameters
from squib.guest import cmdline

text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)


@given(text)
def test_the_guests_decoding_undoes_encoding(value: str) -> None:
    encoded = encode_value(value)
    assert cmdline.percent_decode("x", encoded.encode("ascii")) == value
    assert encoded.isascii()
    assert not set(encoded) & set(" \"'\\\n\t=")


@given(st.dictionaries(st.from_regex(r"[a-z0-9][a-z0-9_-]{0,8}", fullmatch=True), text, max_size=4))
def test_the_guest_reads_what_the_host_wrote(values: dict[str, str]) -> None:
    line = join(("console=ttyS0", *squib_parameters({name: value[:20] for name, value in values.items()})))
    assert len(line.encode()) <= MAX_COMMAND_LINE
    assert set(cmdline.parse(line.encode()).argv) == {f"--{name}={value[:20]}" for name, value in values.items()}
