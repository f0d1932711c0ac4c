"""A number of seconds on the command line. `nan` and `inf` are numbers to Python, and no time to wait."""

from __future__ import annotations

import math
from typing import Any

import click

__all__ = ["Seconds"]


_YEAR_S = 365 * 24 * 3600
"""No wait is meant to be longer, and every clock and timer can take it."""


class Seconds(click.FloatRange):
    """From `least` to a year."""

    def __init__(self, least: float) -> None:
        super().__init__(min=least, max=_YEAR_S)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """As click has it."""
        if not math.isfinite(click.FLOAT.convert(value, param, ctx)):
            self.fail(f"{value} is no number of seconds.", param, ctx)
        return float(super().convert(value, param, ctx))
