"""What options take: one word of several, whole numbers, seconds. Each says in words what it expects."""

from __future__ import annotations

import math
import re
from typing import Any

import click

from squib.model.near import did_you_mean

__all__ = ["LONGEST_S", "OneOf", "Seconds", "Whole"]

LONGEST_S = 365 * 24 * 3600
"""Seconds that a wait may take at most: a year, which every clock and timer can hold."""

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")


class OneOf(click.Choice[str]):
    """One of some words."""

    def get_invalid_choice_message(self, value: object, ctx: click.Context | None) -> str:  # noqa: ARG002 - click's
        """As click has it."""
        return f"expected one of {', '.join(self.choices)}, got {str(value)!r}{did_you_mean(str(value), self.choices)}"


class Whole(click.ParamType[int]):
    """A whole number from `least` to `most`."""

    name = "whole number"

    def __init__(self, least: int, most: int) -> None:
        self._least = least
        self._most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """As click has it."""
        text = str(value)
        if _WHOLE.fullmatch(text) is None:
            self.fail(f"expected a whole number, {self._least} to {self._most}, got {text!r}", param, ctx)
        if not self._least <= int(text) <= self._most:
            self.fail(f"expected {self._least} to {self._most}, got {text}", param, ctx)
        return int(text)


class Seconds(click.ParamType[float]):
    """From `least` to `most` seconds. `nan` and `inf` are numbers to Python, but no time to wait."""

    name = "seconds"

    def __init__(self, least: float, most: float = LONGEST_S) -> None:
        self._least = least
        self._most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """As click has it."""
        try:
            seconds = float(value)
        except ValueError:
            seconds = math.nan
        if not math.isfinite(seconds):
            self.fail(f"expected a number of seconds, got {str(value)!r}", param, ctx)
        if seconds < self._least:
            self.fail(f"expected at least {self._least:g} seconds, got {value}", param, ctx)
        if seconds > self._most:
            year = ", which is a year" if self._most == LONGEST_S else ""
            self.fail(f"expected at most {self._most:.0f} seconds{year}, got {value}", param, ctx)
        return seconds
