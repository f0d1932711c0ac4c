"""click's words for a wrong command line, in squib's form: what is wrong, and what to type instead."""

from __future__ import annotations

import click

from squib.errors import UsageError
from squib.model.near import did_you_mean

__all__ = ["usage_error"]


def usage_error(error: click.UsageError, path: str) -> UsageError:
    """The same mistake as squib tells it; `path` is the command that was being read, where click does not know."""
    return UsageError(_what(error), hint=f"{error.ctx.command_path if error.ctx else path} --help")


def _what(error: click.UsageError) -> str:
    match error:
        case click.NoSuchOption():
            return f"unknown option {error.option_name}{_meant(error.option_name, error.ctx)}"
        case click.BadOptionUsage():  # that one lacks its value is seen before (`squib.cli.commands`)
            return f"option {error.option_name} takes no value"
        case click.MissingParameter():
            return f"{_name(error)} is missing"
        case click.BadParameter():
            return f"{_name(error)}: {_plain(error.message)}"
        case _:
            return _plain(error.format_message())


def _meant(typed: str, ctx: click.Context | None) -> str:
    if ctx is None or not typed.startswith("--"):
        return ""
    known = (name[2:] for param in ctx.command.get_params(ctx) for name in param.opts if name.startswith("--"))
    return did_you_mean(typed[2:], known, "--{}")


def _name(error: click.BadParameter) -> str:
    param = error.param
    if param is None:
        return "the command line"
    if isinstance(param, click.Option):
        return f"option {max(param.opts, key=len)}"
    return (param.metavar or param.name or "an argument").strip("[].")


def _plain(text: str) -> str:
    """A sentence of click's as the end of one of ours."""
    text = text.rstrip(".")
    return text[:1].lower() + text[1:]
