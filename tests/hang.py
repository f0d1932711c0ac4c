"""A run that hangs is ended by the run itself, with the stacks of all its threads.

pytest-timeout raises in the main thread, and a test that then waits for another thread (a pool joins its own) hangs on. So behind
each test's limit, and behind that of the whole run, stands faulthandler: its timer needs neither the interpreter nor its lock.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import time

import pytest

__all__ = ["Watch"]

GRACE_S = 120.0
"""What a test has to clean up after its limit."""


class Watch:
    """Ends the process `run_s` seconds from now at the latest; `grace_s` after the limit of a test that has one."""

    def __init__(self, run_s: float, grace_s: float = GRACE_S) -> None:
        self._end = time.monotonic() + run_s
        self._grace_s = grace_s
        self._stderr = os.dup(sys.stderr.fileno())  # the terminal's, which no test captures
        self._arm(run_s)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> object:
        limit = _limit_s(item)
        if limit:
            self._arm(limit + self._grace_s)
        try:
            return (yield)
        finally:
            self._arm(float("inf"))

    def pytest_unconfigure(self) -> None:
        faulthandler.cancel_dump_traceback_later()

    def _arm(self, seconds: float) -> None:
        left = max(0.001, min(seconds, self._end - time.monotonic()))
        faulthandler.dump_traceback_later(left, exit=True, file=self._stderr)


def _limit_s(item: pytest.Item) -> float:
    """Of the test's own marker, else of the configuration; 0: it has none."""
    marker = item.get_closest_marker("timeout")
    if marker is not None:
        return float(marker.args[0] if marker.args else marker.kwargs.get("timeout", 0))
    option = item.config.getoption("timeout", None)
    return float(item.config.getini("timeout") or 0) if option is None else float(option)
