"""Names of container images: `[REGISTRY/]PATH[:TAG]`, as docker, podman and registries read them (distribution/reference)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from squib.errors import UsageError

__all__ = ["Reference", "parse_reference"]

_DEFAULT_REGISTRY = "docker.io"
_DEFAULT_TAG = "latest"
_MAX_NAME = 255
_MAX_TAG = 128
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_LABEL = r"(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])"
_REGISTRY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?")


@dataclass(frozen=True, slots=True)
class Reference:
    """`registry` is empty where none was named; `path` has its components, `tag` is never empty."""

    registry: str
    path: str
    tag: str

    @property
    def familiar(self) -> str:
        """As a person writes it, with the tag: `example/clock:latest`."""
        return f"{self.registry}/{self.path}:{self.tag}" if self.registry else f"{self.path}:{self.tag}"

    @property
    def full(self) -> str:
        """With the registry that engines mean where none is named: `docker.io/library/clock:latest`."""
        registry = self.registry or _DEFAULT_REGISTRY
        path = self.path if registry != _DEFAULT_REGISTRY or "/" in self.path else f"library/{self.path}"
        return f"{registry}/{path}:{self.tag}"


def parse_reference(text: str) -> Reference:
    """The reference that `text` is. Raises UsageError, which says which part is wrong."""
    if "@" in text:
        raise _wrong(text, "a digest is what an image gets, not what it is named", "leave out what begins with @")
    first, slash, rest = text.partition("/")
    # As docker has it, but for a first part in capitals: that is a slip, and no registry.
    has_registry = bool(slash) and ("." in first or ":" in first or first == "localhost")
    registry, remainder = (first, rest) if has_registry else ("", text)
    if has_registry and _REGISTRY.fullmatch(registry) is None:
        raise _wrong(text, f"{registry!r} is no registry", "write HOST or HOST:PORT before the first slash")
    path, colon, tag = remainder.partition(":")
    if not colon:
        tag = _DEFAULT_TAG
    _check(text, path, tag)
    if len(path) + len(registry) + 1 > _MAX_NAME:
        raise _wrong(text[:60] + "…", f"its name has more than {_MAX_NAME} characters", "choose a shorter name")
    return Reference(registry, path, tag)


def _check(text: str, path: str, tag: str) -> None:
    for component in path.split("/"):
        if _COMPONENT.fullmatch(component) is None:
            hint = "lower-case letters and digits, with single '.', '_' or '-' between them"
            if all(map(_COMPONENT.fullmatch, path.lower().split("/"))):
                hint = f"write it in lower case: {text.replace(path, path.lower())}"
            raise _wrong(text, f"{component!r} is no part of an image's name", hint)
    if len(tag) > _MAX_TAG:
        raise _wrong(text[:60] + "…", f"its tag has {len(tag)} characters", f"a tag has at most {_MAX_TAG}")
    if _TAG.fullmatch(tag) is None:
        raise _wrong(text, f"{tag!r} is no tag", "letters, digits, '_', '.' and '-'; it begins with neither '.' nor '-'")


def _wrong(text: str, why: str, hint: str) -> UsageError:
    return UsageError(f"{text!r} cannot name an image: {why}", hint=hint)
