"""What Tab offers: machines, appliances and their keys. The shell's own script asks (`squib completion`), at each press.

The rule: quick, read-only, and silent. Whatever goes wrong, nothing is offered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import click
from click.shell_completion import CompletionItem

from squib.cli.commands import KeyedCommand

__all__ = [
    "ApplianceCommand",
    "complete_appliance",
    "complete_kernel",
    "complete_kernels",
    "complete_machines",
    "complete_running",
]

_OVER = {"exited", "failed"}
_BUSY_S = 0.1


def complete_machines(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of machines, each with its state."""
    return _silently(lambda: _machines(ctx, param, incomplete, lambda _: True))


def complete_running(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of machines that have not ended."""
    return _silently(lambda: _machines(ctx, param, incomplete, lambda state: state not in _OVER))


def complete_appliance(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Packaged appliances, and paths; nothing where one is named already, or a key's value is due."""
    return _silently(lambda: _appliances(_words(ctx, param), incomplete))


def complete_kernel(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001 - click's signature
    """What `--kernel` takes: the word for the tuned one, and paths."""
    word = [CompletionItem("tuned", help="squib kernel build")] if "tuned".startswith(incomplete) else []
    return [CompletionItem(incomplete, type="file"), *word]


def complete_kernels(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of tuned kernels that were built."""
    return _silently(lambda: _kernels(_words(ctx, param), incomplete))


class ApplianceCommand(KeyedCommand):
    """A command whose options are also the keys of its appliance; `passed_on` are those of the server program itself."""

    passed_on: ClassVar[tuple[str, ...]] = ("logs",)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Its own options, and those of the appliance that the words before name."""
        own = super().shell_complete(ctx, incomplete)
        if not incomplete.startswith("-"):
            return own
        keys = _silently(lambda: list(_keys(_words(ctx, self.params[0]))))
        passed_on = [CompletionItem(f"--{name}") for name in self.passed_on]
        return own + [item for item in (*keys, *passed_on) if item.value.startswith(incomplete)]


def _silently(complete: Callable[[], list[CompletionItem]]) -> list[CompletionItem]:
    try:
        return complete()
    except Exception:  # noqa: BLE001 - the rule above: no message into the middle of somebody's command line
        return []


def _words(ctx: click.Context, param: click.Parameter) -> tuple[str, ...]:
    """What was typed for `param` before the word that is completed."""
    typed = ctx.params.get(param.name or "")
    if typed is None:
        return ()
    return (str(typed),) if isinstance(typed, str | Path) else tuple(map(str, typed))


def _machines(
    ctx: click.Context, param: click.Parameter, incomplete: str, wanted: Callable[[str], bool]
) -> list[CompletionItem]:
    from squib.store.glance import glance

    named = set(_words(ctx, param))
    return [
        CompletionItem(name, help=state)
        for name, state in glance(busy_s=_BUSY_S).machines or ()
        if name.startswith(incomplete) and name not in named and wanted(state)
    ]


def _kernels(words: tuple[str, ...], incomplete: str) -> list[CompletionItem]:
    from squib.build.kernel_cache import folder

    names = sorted(path.stem for path in folder().glob("tuned-*.json"))
    return [CompletionItem(name) for name in names if name.startswith(incomplete) and name not in words]


def _appliances(words: tuple[str, ...], incomplete: str) -> list[CompletionItem]:
    from squib.cli.key_words import split_words
    from squib.host.appliances import packaged

    if split_words(words).selector is not None or _value_is_due(words):
        return []
    # Paths first: bash's script drops what it has when it is told to complete paths.
    names = [CompletionItem(name, help="packaged") for name in packaged() if name.startswith(incomplete)]
    return [CompletionItem(incomplete, type="file"), *names]


def _value_is_due(words: tuple[str, ...]) -> bool:
    return bool(words) and words[-1].startswith("--") and "=" not in words[-1] and words[-1] != "--"


def _keys(words: tuple[str, ...]) -> Iterator[CompletionItem]:
    from squib.cli.key_words import split_words
    from squib.host.appliances import find_appliance

    for key in find_appliance(split_words(words).selector, Path.cwd()).keys:
        yield CompletionItem(f"--{key.name}", help=key.doc or None)
