"""`squib host check`, `setup`, `teardown`: this host's side of guests' networks."""

from __future__ import annotations

import contextlib
import shlex
import sys
import textwrap
from collections.abc import Iterator, Sequence

import click

from squib.app import hosting
from squib.app.host_checks import examine
from squib.app.hosting import Told
from squib.cli.checks import exit_code, print_checks
from squib.cli.commands import Group
from squib.cli.json_output import print_json
from squib.cli.narrator import say
from squib.errors import PermissionDeniedError, UsageError
from squib.model.findings import Level
from squib.model.host_network import parse_device_name, parse_host_address, parse_host_port, parse_pool
from squib.net.host_plan import HostWish, UserTap

__all__ = ["host"]

_SEED_ADDRESS = "172.17.100.1/24"


@click.group(cls=Group)
def host() -> None:
    """Set this host up for guests' networks, look at it, and put it back as it was.

    Firecracker's machines have a tap each, whose packets this host forwards; for that it needs one nftables table and one
    setting of the kernel. QEMU's machines need none of it. What is changed and why: docs/host.md.
    """


@host.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
def check(as_json: bool) -> int:
    """Look whether this host is set up, and whether another firewall is in the way.

    What is missing comes with a command to paste. Exits with 69 where something is missing; without KVM, with 0 and a
    warning. As root it sees all; nothing is changed.
    """
    rows = list(examine())
    print_checks(rows, as_json=as_json, all_there="This host is set up for guests' networks.", missing="Missing here")
    return exit_code(rows)


@host.command()
@click.option("--uplink", metavar="DEVICE", help="What guests' packets leave by. Default: the default route's.")
@click.option("--pool", metavar="NETWORK", help="Where machines get their networks from. Default: one that is free here.")
@click.option(
    "--allow-host-port",
    "host_ports",
    multiple=True,
    metavar="PORT[/udp]",
    help="A service of this host that guests may reach at their gateway. Repeatable. Default: none.",
)
@click.option("--user", metavar="USER", help="Who may open the tap of --tap.")
@click.option("--tap", metavar="NAME", help="A tap for a plain user's own microVM, as in --user me --tap tap0.")
@click.option("--address", metavar="ADDR/PREFIX", help=f"This host's address on that tap. Default: {_SEED_ADDRESS}")
@click.option("--docker-user", is_flag=True, help="Let squib's taps past Docker's firewall, in the chain that it has for that.")
@click.option("--dry-run", is_flag=True, help="Print what would be done, as commands, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
def setup(
    uplink: str | None, pool: str | None, host_ports: tuple[str, ...], user: str | None, tap: str | None, address: str | None,
    docker_user: bool, dry_run: bool, as_json: bool,
) -> int:  # fmt: skip
    """Set this host up: forwarding for the uplink, and squib's own table of packet rules.

    Again is no harm: what is so already is left alone, and what is not said again stays. It lasts until teardown or a reboot.
    """
    wish = HostWish(
        uplink=None if uplink is None else parse_device_name(uplink),
        pool=None if pool is None else parse_pool(pool),
        host_ports=tuple(map(parse_host_port, host_ports)),
        tap=_user_tap(user, tap, address),
        docker_user=docker_user,
    )
    steps = _Steps(as_json=as_json, dry_run=dry_run)
    with _as_root():
        hosting.setup(wish, dry_run=dry_run, on_step=steps.tell)
    steps.finish("This host is set up already.")
    if not dry_run and not as_json:
        _warn()
    return 0


@host.command()
@click.option("--force", is_flag=True, help="Also where machines use it: they lose their network.")
@click.option("--dry-run", is_flag=True, help="Print what would be done, as commands, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
def teardown(force: bool, dry_run: bool, as_json: bool) -> int:
    """Put back all that setup changed, also what a setup that was killed had begun."""
    steps = _Steps(as_json=as_json, dry_run=dry_run)
    with _as_root():
        hosting.teardown(force=force, dry_run=dry_run, on_step=steps.tell)
    steps.finish("Nothing of squib's is here.")
    return 0


def steps_json(told: Sequence[Told], *, dry_run: bool) -> dict[str, object]:
    """The steps, as `setup --json` and `teardown --json` show them (docs/json.md)."""
    steps = [
        {"undoes": one.undoes, "command": one.command, "rules": one.detail or None, "remark": one.remark or None}
        for one in told
    ]
    return {"dry_run": dry_run, "steps": steps}


class _Steps:
    """Tells each step as it is done; as JSON all at the end."""

    def __init__(self, *, as_json: bool, dry_run: bool) -> None:
        self._as_json = as_json
        self._dry_run = dry_run
        self._told: list[Told] = []

    def tell(self, step: Told) -> None:
        """One step."""
        self._told.append(step)
        if self._as_json:
            return
        print(step.command)
        if self._dry_run and step.detail:
            print(textwrap.indent(step.detail, "    "))
        if step.remark:
            say(step.remark)

    def finish(self, nothing: str) -> None:
        """After the last."""
        if self._as_json:
            print_json(steps_json(self._told, dry_run=self._dry_run))
        elif not self._told:
            print(nothing)


@contextlib.contextmanager
def _as_root() -> Iterator[None]:
    """Puts the whole command with sudo into the error of who is not root."""
    try:
        yield
    except PermissionDeniedError as error:
        raise PermissionDeniedError(str(error), hint=f"sudo {shlex.join(sys.argv)}", detail=error.detail) from error


def _user_tap(user: str | None, tap: str | None, address: str | None) -> UserTap | None:
    if tap is None:
        if user is not None or address is not None:
            raise UsageError("--user and --address are about a tap", hint="name it: --tap tap0")
        return None
    if user is None:
        raise UsageError("--tap is for a user", hint="name who may open it: --user USER")
    return UserTap(parse_device_name(tap), parse_host_address(address or _SEED_ADDRESS), user, hosting.user_id(user))


def _warn() -> None:
    for row in examine():
        if row.level is not Level.OK:
            say(f"{row.level}: {row.name}: {row.found}{f'; try: {row.remedy}' if row.remedy else ''}")
