"""`squib ps`: what this user runs."""

from __future__ import annotations

import time

import click

from squib.app.inspecting import observe
from squib.cli.commands import Command
from squib.cli.durations import duration
from squib.cli.endpoints import urls
from squib.cli.json_output import machine_json, print_json
from squib.cli.table import print_table
from squib.model.machine import EndedBy
from squib.store import Machine
from squib.wiring import house

__all__ = ["ps"]

_HEAD = ("NAME", "STATE", "READY", "UPTIME", "MEMORY", "VMM", "URL OR END")
_ENDED_BY = {EndedBy.SERVER: "server: ", EndedBy.GUEST: "guest: ", EndedBy.VMM: "VMM: "}
"""Who ended a machine without being asked; of the other ends the reason says enough."""


@click.command(cls=Command)
@click.option("-a", "--all", "_all", is_flag=True, help="Changes nothing, for who is used to it: all are listed anyway.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def ps(_all: bool, as_json: bool) -> None:
    """List the microVMs of this user: those that run, and those that ended and were not removed."""
    with house().running() as running:
        running.clean()
        machines = running.store.list()
    if as_json:
        print_json([machine_json(machine) for machine in machines])
    else:
        print_table(_HEAD, [_row(machine) for machine in machines])


def _row(machine: Machine) -> tuple[str, ...]:
    seen = observe(machine)
    ready = "-" if machine.over else "yes" if seen.readiness.ready else "no"
    return (
        machine.name,
        machine.state,
        ready,
        "-" if seen.uptime_s is None else duration(seen.uptime_s),
        f"{machine.mem_size_mib} MiB",
        f"{machine.vmm}/{machine.accel}",
        # Last, because it is the only column that may be long.
        _end(machine) if machine.over else " ".join(urls(machine)),
    )


def _end(machine: Machine) -> str:
    """`server: crashed: exit status 3 (status 70), 3 min ago`."""
    by = "" if machine.ended_by is None else _ENDED_BY.get(machine.ended_by, "")
    status = f" (status {machine.exit_status})" if machine.exit_status else ""
    when = "" if machine.ended_ms is None else f", {duration(time.time() - machine.ended_ms / 1000)} ago"
    return f"{by}{machine.exit_reason or machine.state}{status}{when}"
