"""`[APPLIANCE] [--KEY VALUE]...`: the words that name an appliance and set its keys, read alike by every command.

`squib serve` hands them to the server program, whose own reader (`squib.guest.options`) keeps the same rules; a test holds
both to the same keys. Nothing here needs click: `squib serve` starts without it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from squib.errors import MissingError, UsageError
from squib.model.appliance import Appliance, Key, KeyType
from squib.model.keys import GUEST_OPTIONS, all_keys
from squib.model.near import did_you_mean

__all__ = ["KeyWords", "chosen_by", "is_option", "key_pairs", "split_words"]

_Chosen = TypeVar("_Chosen")

_LOGS = "logs"
_NO_VALUE = "--help"
_NO_ENVIRONMENT = "set a key of the appliance by --KEY VALUE: nothing else comes in from outside"
_NO_VOLUME = "list files in [image] include of the appliance file: they go into the image"
_NO_TERMINAL = "leave it out: without --detach you see the console, and the appliance reads no terminal"
_HABITS = {
    **dict.fromkeys(("-e", "--env"), _NO_ENVIRONMENT),
    **dict.fromkeys(("-v", "--volume", "--mount"), _NO_VOLUME),
    **dict.fromkeys(("-i", "-t", "--interactive", "--tty"), _NO_TERMINAL),
    "--rm": "leave it out: in the foreground nothing is left behind, and squib rm removes a detached microVM",
    "-m": "--memory SIZE",
}
"""Options that people know from container engines, and what to do here."""


@dataclass(frozen=True, slots=True)
class KeyWords:
    """`selector` names the appliance, None the one in the working folder; `options` are the other words, in their order."""

    selector: str | None
    options: tuple[str, ...]


def is_option(word: str) -> bool:
    """Whether `word` is an option, and so no value: `-` alone is a value."""
    return word.startswith("-") and len(word) > 1


def split_words(words: Sequence[str]) -> KeyWords:
    """Which word names the appliance: the first that is no option, nor the value of one before it.

    Only the appliance knows which of its keys take no value: a word behind an option is its value, where no appliance is
    named yet.
    """
    options: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return KeyWords(rest[0] if rest else None, (*options, *rest[1:]))
        if not is_option(word):
            return KeyWords(word, (*options, *rest))
        options.append(word)
        if _may_take_the_next(word) and rest and not is_option(rest[0]):
            options.append(rest.pop(0))
    return KeyWords(None, tuple(options))


def chosen_by(words: KeyWords, look: Callable[[str | None], _Chosen]) -> _Chosen:
    """What `look` finds for the selector. Where it finds nothing and a word may have been the selector, the hint says so."""
    try:
        return look(words.selector)
    except MissingError as error:
        value = next((word for word in words.options if not is_option(word)), None)
        if words.selector is not None or value is None:
            raise
        raise MissingError(str(error), hint=f"if {value} is the appliance, name it before its options") from error


def _may_take_the_next(option: str) -> bool:
    return "=" not in option and option != _NO_VALUE and (option.startswith("--") or option == "-l")


def key_pairs(appliance: Appliance, options: Sequence[str], own: Collection[str] = ()) -> tuple[tuple[str, str], ...]:
    """Pairs of a key's name and its text; `own` are the other long options of the command, without their dashes.

    A long name may be cut short where it stays the only one that begins so, and a bool key takes a value behind `=` only.
    Raises UsageError: unknown, ambiguous, without its value, or a word too many. Values are checked by `key_values`.
    """
    keys = {key.name: key for key in all_keys(appliance)}
    known = (*keys, *GUEST_OPTIONS, *own)
    pairs: list[tuple[str, str]] = []
    rest = list(options)
    while rest:
        word = rest.pop(0)
        if word == "--" and not rest:
            break
        if not is_option(word) or word == "--":
            raise _too_many(rest if word == "--" else (word, *rest))
        name, value = _named(word, known, own, hint=_hint(appliance, keys))
        if value is None:
            value = _value(name, keys.get(name), rest)
        pairs.append((name, value))
    return tuple(pairs)


def _hint(appliance: Appliance, keys: Iterable[str]) -> str:
    return f"{appliance.name} has the keys {', '.join(f'--{key}' for key in sorted(keys))}; --help lists the other options"


def _named(word: str, known: Sequence[str], own: Collection[str], *, hint: str) -> tuple[str, str | None]:
    """The whole name of an option, and the value that stands in the same word."""
    if not word.startswith("--"):
        if word.startswith("-l"):
            return _LOGS, word[2:] or None
        raise UsageError(f"unknown option {word[:2]}", hint=_HABITS.get(word[:2], hint))
    typed, equals, value = word[2:].partition("=")
    found = [typed] if typed in known else sorted({one for one in known if typed and one.startswith(typed)})
    if all(one in own for one in found):
        meant = did_you_mean(typed, known, "--{}")
        raise UsageError(f"unknown option --{typed}{meant}", hint=hint if meant else _HABITS.get(f"--{typed}", hint))
    if len(found) > 1:
        raise UsageError(f"--{typed} may be {' or '.join(f'--{one}' for one in found)}", hint="write out the one that you mean")
    return found[0], value if equals else None


def _value(name: str, key: Key | None, rest: list[str]) -> str:
    if key is not None and key.type is KeyType.BOOL:
        return "true"
    if not rest or is_option(rest[0]):
        negative = f"; a value that begins with - goes as --{name}={rest[0]}" if rest else ""
        raise UsageError(f"option --{name} needs a value", hint=f"--{name} VALUE{negative}")
    return rest.pop(0)


def _too_many(words: Sequence[str]) -> UsageError:
    found = [word for word in words if not is_option(word)] or list(words)
    return UsageError(
        f"too many words: {' '.join(found)}",
        hint="name one appliance; set a key by --KEY VALUE, and one that is true or false by --KEY or --KEY=false",
    )
