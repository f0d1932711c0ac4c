"""`squib host setup` and `teardown`: look, plan, and then do it or tell it.

What is done is the plan's; here is only who looks at what, and who may. A dry run needs no root.
"""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Callable
from dataclasses import dataclass

from squib.errors import MissingError, PermissionDeniedError, SquibError, TakenError
from squib.host import links, nft, sysctl
from squib.net import ruleset
from squib.net.changing import Do, Step, carry_out, planned, undoing
from squib.net.firewalls import has_docker
from squib.net.host_plan import HostFound, HostWish, setup_plan
from squib.net.operations import TapRules
from squib.net.record import AnyOperation, Record

__all__ = ["Told", "look", "setup", "teardown", "user_id"]


@dataclass(frozen=True, slots=True)
class Told:
    """A step: whether it undoes something, the same as a command, and what could not be put back (empty: nothing).

    `detail`: the rules, where the command names their table only.
    """

    undoes: bool
    command: str
    remark: str = ""
    detail: str = ""


def setup(wish: HostWish, *, dry_run: bool, on_step: Callable[[Told], None]) -> None:
    """Brings the host to what was asked for; what is so already is left alone."""
    nft.find()
    record = Record()
    with _lock(record, dry_run=dry_run):
        recorded = record.load()
        wanted = setup_plan(wish, look(), recorded)
        steps = planned(recorded, [one for one in recorded if _holds(one)], wanted)
        _take(steps, record, dry_run=dry_run, on_step=on_step)


def teardown(*, force: bool, dry_run: bool, on_step: Callable[[Told], None]) -> None:
    """Puts everything back. Raises TakenError where machines use it, unless `force`."""
    record = Record()
    with _lock(record, dry_run=dry_run):
        recorded = record.load()
        busy = [] if force else _machines(recorded)
        if busy:
            raise TakenError(
                f"machines use the host's network: their taps are {', '.join(busy)}",
                hint="stop them first (sudo squib ps), or take it from them: --force",
            )
        _take(undoing(recorded), record, dry_run=dry_run, on_step=on_step)


def look() -> HostFound:
    """The host as it is."""
    devices = links.devices()
    forwarding = {name: value for name in devices if (value := sysctl.read(f"net/ipv4/conf/{name}/forwarding")) is not None}
    try:
        docker = has_docker(nft.list_ruleset())
    except PermissionDeniedError:  # for a dry run of a plain user
        docker = False
    return HostFound(devices, links.routes(), forwarding, docker)


def user_id(name: str) -> int:
    """The uid of the user `name`. Raises MissingError."""
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError as error:
        raise MissingError(f"there is no user {name}", hint="see who there is: getent passwd") from error


def _lock(record: Record, *, dry_run: bool) -> contextlib.AbstractContextManager[None]:
    if dry_run:
        return contextlib.nullcontext()
    if os.geteuid() != 0:
        raise PermissionDeniedError("only root may change the host's network")
    return record.locked()


def _take(steps: tuple[Step[AnyOperation], ...], record: Record, *, dry_run: bool, on_step: Callable[[Told], None]) -> None:
    for step, remark in ((step, "") for step in steps) if dry_run else carry_out(steps, record):
        undoes = not isinstance(step, Do)
        operation = step.operation
        if undoes:
            on_step(Told(undoes, operation.describe_undo(), remark))
        else:
            on_step(Told(undoes, operation.describe(), remark, operation.detail()))


def _holds(operation: AnyOperation) -> bool:
    with contextlib.suppress(SquibError):  # a plain user's dry run: nobody can tell, so it would be done anew
        return operation.holds()
    return False


def _machines(recorded: tuple[AnyOperation, ...]) -> list[str]:
    """Taps that squib's table knows and `setup` did not make."""
    own = {one.name for one in recorded if isinstance(one, TapRules)}
    try:
        listing = nft.list_table(**ruleset.TABLE)
    except PermissionDeniedError:
        return []
    return sorted(ruleset.taps(listing or ()) - own)
