"""What ends a benchmark with a line instead of a traceback."""

from __future__ import annotations


class Problem(Exception):  # noqa: N818 - it is one
    """`str()` says what failed and what to do."""
