"""nftables, by one `nft -j` a change: everything in one call is one transaction of the kernel's, done whole or not at all.

What nft prints is read with suspicion: other people's rules may be of a kind that this squib has never seen.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from squib.errors import HostError, PermissionDeniedError, SquibError, TakenError
from squib.host import command

__all__ = ["PACKAGE", "PROGRAM", "apply", "find", "list_ruleset", "list_table"]

PROGRAM, PACKAGE = "nft", "nftables"
_TIMEOUT_S = 20.0


def find() -> Path:
    """The program. Raises UnavailableError."""
    return command.find(PROGRAM, package=PACKAGE)


def apply(commands: Sequence[Mapping[str, object]]) -> None:
    """Does all of `commands` or none. Raises TakenError (a port is published already), PermissionDeniedError, HostError."""
    if commands:
        _nft(["-j", "-f", "-"], json.dumps({"nftables": list(commands)}).encode())


def list_ruleset() -> tuple[object, ...]:
    """Everything that is in force here, as libnftables-json(5) has it. Raises PermissionDeniedError and its like."""
    return _listing(_nft(["-j", "list", "ruleset"]))


def list_table(family: str, name: str) -> tuple[object, ...] | None:
    """One table, or None where it is not there."""
    try:
        return _listing(_nft(["-j", "list", "table", family, name]))
    except HostError as error:
        if "No such file" in error.detail:
            return None
        raise


def _nft(arguments: Sequence[str], data: bytes | None = None) -> bytes:
    try:
        return command.run([PROGRAM, *arguments], input=data, timeout=_TIMEOUT_S, package=PACKAGE)
    except HostError as error:
        raise _explain(error) from error


def _explain(error: HostError) -> SquibError:
    if "File exists" in error.detail:
        return TakenError("nftables has such an entry already: another machine publishes that port", detail=error.detail)
    if "Operation not permitted" in error.detail or "must be root" in error.detail:
        return PermissionDeniedError("only root may read or change the host's packet rules", hint="run it with sudo")
    hint = "" if "No such file" in error.detail else "see what is in force: sudo nft list ruleset"
    return HostError(str(error), hint=hint, detail=error.detail)


def _listing(output: bytes) -> tuple[object, ...]:
    try:
        document = json.loads(output)
        entries = document["nftables"]
    except (ValueError, TypeError, KeyError) as error:
        raise HostError("what nft lists is not to be understood", hint="nft -j list ruleset") from error
    return tuple(entries) if isinstance(entries, list) else ()
