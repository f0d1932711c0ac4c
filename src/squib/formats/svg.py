"""A small writer of SVG (1.1): elements, text and their escapes. Equal pictures are equal bytes, so they can be committed."""

from __future__ import annotations

from collections.abc import Iterable
from xml.sax.saxutils import escape, quoteattr

__all__ = ["document", "element", "number", "text"]

_FONT = "ui-sans-serif, system-ui, sans-serif"


def number(value: float) -> str:
    """At most one digit behind the point, and none where it is 0: what a picture shows, and no noise in it."""
    written = f"{value:.1f}".removesuffix(".0")
    return "0" if written == "-0" else written


def element(name: str, *children: str, **attributes: object) -> str:
    """`<NAME …>children</NAME>`; of an attribute's name `_` is `-`, and numbers are written by `number`."""
    written = "".join(f" {key.replace('_', '-')}={quoteattr(_value(value))}" for key, value in attributes.items())
    return f"<{name}{written}>{''.join(children)}</{name}>" if children else f"<{name}{written}/>"


def text(x: float, y: float, words: str, **attributes: object) -> str:
    """Text whose baseline begins at `x`, `y`."""
    return element("text", escape(words), x=x, y=y, **attributes)


def document(width: float, height: float, title: str, parts: Iterable[str]) -> str:
    """A whole picture on white, so that it can be read on any page; `title` is what screen readers say."""
    head = [element("title", escape(title)), element("rect", width=width, height=height, fill="#ffffff")]
    size = f'width="{number(width)}" height="{number(height)}" viewBox="0 0 {number(width)} {number(height)}"'
    lines = "\n".join([*head, *parts])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size} font-family="{_FONT}" font-size="12" fill="#24292f">\n'
        f"{lines}\n</svg>\n"
    )


def _value(value: object) -> str:
    return number(value) if isinstance(value, float) else str(value)
