"""Whole numbers on the command line."""

from __future__ import annotations

import click

__all__ = ["Whole"]


class Whole(click.IntRange):
    """A range; its name is what click's message of a wrong value says."""

    name = "whole number"
