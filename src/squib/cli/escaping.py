r"""Text as it may be shown: nothing in it commands a terminal, hides, or turns the text around it.

Text comes from files, guests, VMMs and others' programs. What is not to be seen in it becomes `\x1b`; so do bytes of a file
name that are no UTF-8 (PEP 383 makes them lone surrogates). Pure, and without imports that cost: every command prints.
"""

from __future__ import annotations

import json
import re

__all__ = ["escaped", "json_safe", "json_text", "one_line", "visible"]

# C0, DEL, C1, and the marks that turn the direction of text or begin a line (Unicode, UAX #9 and #14), what shows as nothing at
# all (zero width, tags), and surrogates; tab and line feed are not among them.
_RANGES = (
    (0x00, 0x08), (0x0B, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x61C, 0x61C), (0x180E, 0x180E), (0x200B, 0x200F),
    (0x2028, 0x202E), (0x2060, 0x206F), (0xD800, 0xDFFF), (0xFEFF, 0xFEFF), (0xFFF9, 0xFFFB), (0xE0000, 0xE007F),
)  # fmt: skip
_UNSEEN = re.compile("[" + "".join(f"{chr(first)}-{chr(last)}" for first, last in _RANGES) + "]")


def _as_escape(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return ascii(chr(code))[1:-1]


_SHOWN = {code: _as_escape(code) for first, last in _RANGES for code in range(first, last + 1)}
_SPACES = str.maketrans({"\n": r"\n", "\t": r"\t"})


def escaped(text: str) -> str:
    r"""Text of one line or more: what is not to be seen as `\x1b`; tabs and line feeds stay."""
    return text.translate(_SHOWN) if _UNSEEN.search(text) else text


def one_line(text: str) -> str:
    r"""Text that stands in a line of squib's, as a name or a reason does: `escaped`, tabs and line feeds too."""
    return escaped(text).translate(_SPACES)


def visible(raw: bytes) -> str:
    r"""Lines of bytes for a terminal, as `escaped`; what is not UTF-8 is shown as `\xff`."""
    return escaped(raw.replace(b"\r\r\n", b"\n").replace(b"\r\n", b"\n").decode("utf-8", "backslashreplace"))


def json_text(value: object, *, indent: int | None = 2) -> str:
    r"""`value` as JSON, in which what is not to be seen stands as `\u001b`."""
    return json_safe(json.dumps(value, indent=indent, ensure_ascii=False))


def json_safe(text: str) -> str:
    """JSON that says the same, fit for a terminal."""
    return _UNSEEN.sub(lambda match: json.dumps(match[0])[1:-1] if match[0] > "\x7e" else match[0], text)
