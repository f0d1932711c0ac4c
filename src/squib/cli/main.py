"""The command `squib`: its verbs, and the one place where every error becomes a message and an exit code.

A verb's module is imported when that verb runs, so `squib --help` starts fast.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn, cast

import click

from squib import __version__
from squib.cli.commands import Group, unknown_command
from squib.cli.report import complain, open_what_is_closed, show_error, silence
from squib.cli.terminal import escaping
from squib.cli.usage import usage_error
from squib.cli.verbs import ABSENT, SECTIONS, SYNONYMS, VERBS
from squib.errors import SquibError, StorageError, UsageError
from squib.host.caught import answer

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["COMPLETE_VARIABLE", "VERBS", "cli", "squib"]

_INTERRUPTED = 128 + signal.SIGINT
COMPLETE_VARIABLE = "_SQUIB_COMPLETE"
"""What the scripts of `squib completion` set, as click names it."""


class _Verbs(Group):
    """A group that imports a verb's module only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in VERBS:
            return None
        module, _, name = VERBS[cmd_name][0].partition(":")
        return cast("click.Command", getattr(importlib.import_module(module), name))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click has it. `help` and `version` stand for options, so what follows them does too."""
        if args and args[0] == "help":
            args = [*args[1:], "--help"]
        elif args and args[0] == "version":
            args = ["--version"]
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        widest = max(map(len, VERBS))
        for heading, verbs in SECTIONS:
            with formatter.section(heading):
                formatter.write_dl([(verb.ljust(widest), line) for verb, (_, line) in verbs.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        # click would import every verb for its one line.
        verbs = [CompletionItem(verb, help=line) for verb, (_, line) in VERBS.items() if verb.startswith(incomplete)]
        return verbs + click.Command.shell_complete(self, ctx, incomplete)

    def refuse(self, ctx: click.Context, word: str) -> NoReturn:
        if word in ABSENT:
            why, hint = ABSENT[word]
            raise UsageError(f"there is no command {word}: {why}", hint=hint)
        raise unknown_command(ctx, word, (*VERBS, "help", "version"), hint="squib --help")


@click.group(
    cls=_Verbs,
    synonyms=SYNONYMS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="squib COMMAND --help tells all about one command. squib ls and list are squib ps; remove, delete and destroy are "
    "squib rm; kill is squib stop --timeout 0.",
)
@click.version_option(__version__, "-V", "--version", prog_name="squib")
def squib() -> None:
    """Turn a Python web app into an appliance: one image that boots as a microVM, or runs as a container.

    squib needs no Docker, no root and no network. Start with: squib demo
    """


def cli(arguments: Sequence[str] | None = None, *, prog_name: str = "squib") -> NoReturn:
    """Runs one command line and exits with its code (docs/exit-codes.md)."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        answer(number, _terminate)
    open_what_is_closed()
    with escaping():
        raise SystemExit(_run(arguments, prog_name))


def _terminate(number: int, _frame: object) -> NoReturn:
    if number == signal.SIGHUP:  # the terminal is gone, which a shell may say again: that is no wish for a quicker end
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # An exception, so that every context manager on the way out cleans up.
    raise SystemExit(128 + number)


def _run(arguments: Sequence[str] | None, prog_name: str) -> int:
    if COMPLETE_VARIABLE in os.environ:  # a shell asks while somebody types: no message may get in between
        with contextlib.suppress(Exception, KeyboardInterrupt):
            from squib.cli.shells import register

            register()
            squib.main(arguments, prog_name=prog_name, complete_var=COMPLETE_VARIABLE, standalone_mode=False)
        return SquibError.exit_code
    words = sys.argv[1:] if arguments is None else arguments
    try:
        status = _invoke(words, prog_name)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get("SQUIB_DEBUG") and not isinstance(error, SquibError | click.ClickException | KeyboardInterrupt):
            raise
        return _tell(error, _spoken_to(words, prog_name))
    return status if isinstance(status, int) else 0


def _spoken_to(arguments: Sequence[str], prog_name: str) -> str:
    """The command that was being read: click does not say, where an option has no value."""
    return f"{prog_name} {arguments[0]}" if arguments and arguments[0] in VERBS else prog_name


def _tell(error: BaseException, command: str) -> int:
    """Says what went wrong with `command`, and gives the exit code."""
    match error:
        case SquibError():
            show_error(error)
            return error.exit_code
        case click.exceptions.NoArgsIsHelpError():
            complain(error.format_message())
        case click.UsageError():
            show_error(usage_error(error, command))
        case click.ClickException():
            complain(f"squib: {error.format_message()}")
        case UnicodeEncodeError():
            hint = "check how the terminal and the locale encode it"
            show_error(UsageError(f"{error.object!a} is not text in UTF-8", hint=hint))
        case click.Abort() | KeyboardInterrupt():
            return _INTERRUPTED
        case BrokenPipeError():
            # Whoever read our output has enough; say nothing more, not even at exit.
            silence(sys.stdout)
            return 128 + signal.SIGPIPE
        case OSError(errno=errno.ENOSPC | errno.EDQUOT | errno.EIO):
            return _tell_unwritten(error)
        case _:  # the last resort: a mistake of ours, told in one line
            message = f"a mistake in squib itself: {type(error).__name__}: {error}"
            show_error(SquibError(message, hint="set SQUIB_DEBUG=1, run it again, and report what it prints"))
            return SquibError.exit_code
    return UsageError.exit_code


def _tell_unwritten(error: OSError) -> int:
    """Says that what squib prints cannot be written, or what is wrong with the file that `error` names.

    Standard error may lie on the same full disk: `complain` bears that.
    """
    what = "the output cannot be written" if error.filename is None else error.filename
    told = StorageError(f"{what}: {error.strerror}", hint="free some space (df -h), or write elsewhere")
    show_error(told)
    silence(sys.stdout)
    return told.exit_code


def _invoke(arguments: Sequence[str], prog_name: str) -> object:
    """What the verb returns. Not by `Command.main`, which turns a closed pipe into exit status 1."""
    try:
        with squib.make_context(prog_name, list(arguments)) as context:
            return squib.invoke(context)
    except click.exceptions.Exit as done:  # --help, --version
        return done.exit_code
