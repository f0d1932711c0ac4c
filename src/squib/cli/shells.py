"""How bash, zsh and fish ask for completions, where click's own ways miss the value in `--option=value`.

bash breaks a word at `=` (COMP_WORDBREAKS), so click does not see the option: its words are put together again. zsh and fish
replace the whole word, so they get the option with each value; for paths, zsh is told where the value begins.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import ClassVar

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

__all__ = ["SHELLS", "register", "rejoined"]


def rejoined(words: Sequence[str]) -> list[str]:
    """`--vmm`, `=`, `q` as the one word that was typed."""
    found: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "=" and found and found[-1].startswith("--") and "=" not in found[-1]:
            word = f"{found.pop()}={rest.pop(0) if rest else ''}"
        found.append(word)
    return found


def _option(incomplete: str) -> str:
    """`--vmm=` of `--vmm=q`, or nothing."""
    return incomplete[: incomplete.index("=") + 1] if incomplete.startswith("--") and "=" in incomplete else ""


class _Bash(BashComplete):
    def get_completion_args(self) -> tuple[list[str], str]:
        """As click has it."""
        words, at = split_arg_string(os.environ["COMP_WORDS"]), int(os.environ["COMP_CWORD"])
        if at >= len(words):  # an empty word, which `split_arg_string` drops
            return rejoined(words[1:]), ""
        *args, incomplete = rejoined(words[1 : at + 1])
        return args, incomplete

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """As click has it. Who took `=` out of COMP_WORDBREAKS gets whole words."""
        items = super().get_completions(args, incomplete)
        whole = incomplete in split_arg_string(os.environ["COMP_WORDS"])
        return _prefixed(items, _option(incomplete)) if whole else items


class _Zsh(ZshComplete):
    source_template: ClassVar[str] = ZshComplete.source_template.replace(
        "    (( !", "    [[ ${words[CURRENT]} == --*=* ]] && compset -P 1 '*='\n    (( !", 1
    )

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """As click has it."""
        return _prefixed(super().get_completions(args, incomplete), _option(incomplete))


class _Fish(FishComplete):
    source_template: ClassVar[str] = FishComplete.source_template.replace(
        "__fish_complete_path $metadata[2];",
        "set -l option (string match -r -- '^--[^=]*=' $metadata[2]);\n"
        "            for path in (__fish_complete_path (string replace -r -- '^--[^=]*=' '' $metadata[2]));\n"
        '                echo "$option$path";\n'
        "            end;",
    )

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """As click has it."""
        return _prefixed(super().get_completions(args, incomplete), _option(incomplete))


def _prefixed(items: list[CompletionItem[str]], option: str) -> list[CompletionItem[str]]:
    return [CompletionItem(f"{option}{item.value}", type=item.type, help=item.help) for item in items]


SHELLS = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}


def register() -> None:
    """Lets click take these for its own."""
    for name, shell in SHELLS.items():
        add_completion_class(shell, name)
