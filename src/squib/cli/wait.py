"""`squib wait`: until machines have ended, and whether they ended well."""

from __future__ import annotations

import sys
import time

import click

from squib.cli.commands import Command
from squib.cli.completing import complete_running
from squib.cli.json_output import machine_json, print_json
from squib.cli.named_machines import known, machines_json_option, names_argument
from squib.cli.param_types import Seconds
from squib.errors import GuestError
from squib.wiring import house

__all__ = ["TIMED_OUT", "wait"]

TIMED_OUT = 124
"""The exit code of timeout(1), where a machine still runs."""


@click.command(cls=Command)
@names_argument(complete_running)
@click.option("--timeout", type=Seconds(0), metavar="SECONDS", help="How long to wait. Default: for ever.")
@machines_json_option
def wait(names: tuple[str, ...], timeout: float | None, as_json: bool) -> int:
    """Wait until microVMs have ended.

    The exit code is 0 where the last word of each guest was status 0, 70 where one's was not, 124 where one still runs
    when the time is over.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    with house().running() as running:
        running.clean()
        machines = [
            running.ending.wait(name, None if deadline is None else max(0.0, deadline - time.monotonic()))
            for name in known(running, names)
        ]
    if as_json:
        print_json([machine_json(machine) for machine in machines])
    for machine in machines:
        if not machine.over:
            print(f"squib: {machine.name} still runs after {timeout:g} s", file=sys.stderr)
        elif not as_json:
            print(f"{machine.name}: {machine.exit_reason or machine.state}")
    if not all(machine.over for machine in machines):
        return TIMED_OUT
    return 0 if all(machine.exit_status == 0 for machine in machines) else GuestError.exit_code
