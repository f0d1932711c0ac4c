"""Durations and dates that people and programs read, whatever the clock gave."""

from __future__ import annotations

import pytest

from squib.cli.durations import duration
from squib.cli.json_output import time_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1e9, "0 s"),
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (86399, "23 h"),
        (86400 * 400, "400 d"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("unix_ms", "text"),
    [
        (None, None),
        (0, "1970-01-01T00:00:00+00:00"),
        (-1, "1969-12-31T23:59:59+00:00"),
        (1_795_490_446_999, "2026-11-24T03:20:46+00:00"),
        (10**18, "9999-12-31T23:59:59+00:00"),
        (-(10**18), "0001-01-01T00:00:00+00:00"),
    ],
)
def test_dates(unix_ms: int | None, text: str | None) -> None:
    assert time_text(unix_ms) == text
