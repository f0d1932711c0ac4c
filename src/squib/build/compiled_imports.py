"""What a C extension imports, as far as its file tells: the names of modules that stand in it as text.

The rule: a name of the standard library counts wherever it stands (Rust and Cython write texts without anything between
them), a shorter one, and every other name, only where zero bytes enclose it, as C does. Too much is found rather than too
little: a word of a message that is also a module costs a few kilobytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from squib.build.imports import Import, text_import

__all__ = ["named_modules"]

_SHORT = 4
_RUN = re.compile(rb"[A-Za-z0-9_.]{%d,}" % _SHORT)
_ENCLOSED = re.compile(rb"(?<=\0)[A-Za-z_][A-Za-z0-9_.]{0,98}(?=\0)")


def named_modules(data: bytes, library: Iterable[str], others: Iterable[str]) -> tuple[Import, ...]:
    """The modules of `library`, and of `others`, that `data` names: sorted, each once."""
    texts = b"\0".join(set(_RUN.findall(data)))
    enclosed = set(_ENCLOSED.findall(data))
    found = {name for name in library if name.encode() in (texts if len(name) >= _SHORT else enclosed)}
    tops = frozenset(others)
    found |= {name.decode() for name in enclosed if name.split(b".", 1)[0].decode() in tops and not name.endswith(b".")}
    return tuple(text_import(name) for name in sorted(found))
