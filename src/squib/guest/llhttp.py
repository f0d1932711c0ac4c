"""httptools' request parser, imported without `typing`.

httptools needs `typing` for annotations only, and `typing` pulls in re, enum, functools, contextlib: most of the time of
the whole import (docs/decisions/0002-guest-imports.md). So a stand-in is in its place for the time of this import, where
nobody has imported the real one yet; later imports get the real one.
"""

from __future__ import annotations

import sys


class _Hint:
    """Stands for any special form: `Optional[bool]` is something, and nothing reads it."""

    def __getitem__(self, item: object) -> _Hint:
        return self


if "typing" in sys.modules:
    from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
else:
    _stand_in = type(sys)("typing")
    vars(_stand_in).update(Protocol=object, Optional=_Hint())
    sys.modules["typing"] = _stand_in
    try:
        from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
    finally:
        del sys.modules["typing"]

__all__ = ["HttpParserError", "HttpParserUpgrade", "HttpRequestParser"]
