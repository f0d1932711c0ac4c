"""What squib's commands have beyond click's: help in groups, unknown words that are met with the nearest known one, synonyms.

`KeyedCommand` keeps its own options apart from the words that name an appliance and its keys, which only the appliance can
tell apart (`squib.cli.key_words`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import click

from squib.cli.key_words import is_option
from squib.errors import UsageError
from squib.model.near import did_you_mean

__all__ = ["Command", "Group", "KeyedCommand", "Sections", "own_options", "unknown_command"]

Sections = tuple[tuple[str, tuple[str, ...]], ...]
"""(heading, names of parameters) of each group of options in a command's help."""

_SENTENCE = 400
"""Characters that the first sentence of a command's help may have."""
_WIDEST = 30
"""As click has it: an option that is wider has its text on the next line."""


def own_options() -> tuple[str, ...]:
    """The long options of the command that is being run, without their dashes."""
    context = click.get_current_context()
    return tuple(name[2:] for name in _by_name(context) if name.startswith("--"))


def _by_name(ctx: click.Context) -> dict[str, click.Option]:
    options = (param for param in ctx.command.get_params(ctx) if isinstance(param, click.Option))
    return {name: option for option in options for name in (*option.opts, *option.secondary_opts)}


class Command(click.Command):
    """A command whose help shows its options in `sections`, and those that are in none of them last."""

    def __init__(self, *args: Any, sections: Sections = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.allow_extra_args = True  # so that they are told in the words of `parse_args`
        self.sections = sections

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click has it. Raises UsageError where an option lacks its value, and for a word too many."""
        _apart(ctx, args)
        rest = super().parse_args(ctx, args)
        if ctx.args and not ctx.resilient_parsing:
            raise UsageError(f"too many words: {' '.join(ctx.args)}", hint=f"{ctx.command_path} --help")
        return rest

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As click has it."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        records = {option.name: record for option in options if (record := option.get_help_record(ctx)) is not None}
        width = min(_WIDEST, max(len(name) for name, _ in records.values()))
        sections = [(heading, [records.pop(name) for name in names]) for heading, names in self.sections]
        for heading, rows in [*sections, ("Other options" if sections else "Options", list(records.values()))]:
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), text) for name, text in rows])


class KeyedCommand(Command):
    """A command whose first argument takes `[APPLIANCE] [--KEY VALUE]...` whole; what is no option of its own is a key's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click has it. Raises UsageError where an option of its own lacks its value."""
        own, rest = _apart(ctx, args)
        return super().parse_args(ctx, [*own, "--", *rest])


def _apart(ctx: click.Context, args: Sequence[str]) -> tuple[list[str], list[str]]:
    """The command's own options with their values, and all other words."""
    options = _by_name(ctx)
    own: list[str] = []
    rest: list[str] = []
    words = list(args)
    while words:
        word = words.pop(0)
        if word == "--":
            return own, [*rest, word, *words]
        if not is_option(word) or _option_name(word) not in options:
            rest.append(word)
            continue
        name = _wants_the_next(word, options)
        if name is None:
            own.append(word)
        elif words and (not is_option(words[0]) or words[0][1].isdigit()):  # -1 is a number; no option begins with a digit
            own += [word, words.pop(0)]
        elif not ctx.resilient_parsing:  # in completion the value is what is being typed
            raise UsageError(f"option {name} needs a value", hint=f"{ctx.command_path} --help")
    return own, rest


def _option_name(word: str) -> str:
    return word.partition("=")[0] if word.startswith("--") else word[:2]


def _wants_the_next(word: str, options: Mapping[str, click.Option]) -> str | None:
    """The option in `word` whose value must be the next word; several short ones may stand together, as in -dp 8080:80."""
    if word.startswith("--"):
        return word if "=" not in word and not options[word].is_flag else None
    for at, letter in enumerate(word[1:], 2):
        option = options.get(f"-{letter}")
        if option is None or not option.is_flag:
            return f"-{letter}" if option is not None and at == len(word) else None
    return None


class Group(click.Group):
    """A group of commands. `synonyms` maps words of other programs to the words that stand for them here."""

    command_class: type[click.Command] | None = Command

    def __init__(self, *args: Any, synonyms: Mapping[str, tuple[str, ...]] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.synonyms = synonyms or {}

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """As click has it. Raises UsageError for a command that is unknown."""
        word = args[0] if args else ""
        if word and word not in self.list_commands(ctx) and not ctx.resilient_parsing and not is_option(word):
            meant = self.synonyms.get(word)
            if meant is None:
                self.refuse(ctx, word)
            return super().resolve_command(ctx, [*meant, *args[1:]])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As click has it, but with whole sentences."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, command.get_short_help_str(_SENTENCE)) for name, command in commands if command is not None]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def refuse(self, ctx: click.Context, word: str) -> NoReturn:
        """Raises UsageError: `word` is none of the commands."""
        commands = self.list_commands(ctx)
        raise unknown_command(ctx, word, commands, hint=f"{ctx.command_path} {' | '.join(commands)}")


def unknown_command(ctx: click.Context, word: str, known: Iterable[str], *, hint: str) -> UsageError:
    """What to say about a command that a group does not have."""
    meant = did_you_mean(word, known, f"{ctx.command_path} {{}}")
    return UsageError(f"unknown command: {ctx.command_path} {word}{meant}", hint=hint)
