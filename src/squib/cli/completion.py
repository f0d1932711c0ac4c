"""`squib completion`: the script that makes a shell complete squib's command line."""

from __future__ import annotations

import os
from pathlib import PurePath

import click

from squib.cli.commands import Command
from squib.cli.main import COMPLETE_VARIABLE
from squib.cli.param_types import OneOf
from squib.cli.shells import SHELLS
from squib.errors import UsageError

__all__ = ["completion"]

# \b keeps click from joining the lines of a paragraph.
_HELP = """Print a shell's completion script; without a name for the shell in SHELL.

It completes commands, options, names of machines, appliances with their keys, and paths. To have it in every new shell:

\b
  bash (with bash-completion):
    mkdir -p ~/.local/share/bash-completion/completions
    squib completion bash > ~/.local/share/bash-completion/completions/squib
  zsh, in ~/.zshrc behind compinit:
    eval "$(squib completion zsh)"
  fish:
    squib completion fish > ~/.config/fish/completions/squib.fish

For this shell alone, in bash and zsh: eval "$(squib completion)"
"""


@click.command(cls=Command, help=_HELP)
@click.argument("shell", type=OneOf(list(SHELLS)), required=False, metavar=f"[{'|'.join(SHELLS)}]")
@click.pass_context
def completion(ctx: click.Context, shell: str | None) -> None:
    """See `_HELP`."""
    name = PurePath(os.environ.get("SHELL", "")).name if shell is None else shell
    kind = SHELLS.get(name)
    if kind is None:
        raise UsageError(
            f"SHELL names none of {', '.join(SHELLS)}: {name}" if name else "SHELL is not set",
            hint="name the shell: squib completion bash",
        )
    complete = kind(ctx.find_root().command, {}, "squib", COMPLETE_VARIABLE)
    print(complete.source_template % complete.source_vars())
