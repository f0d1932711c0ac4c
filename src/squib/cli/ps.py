"""`squib ps`: what this user runs."""

from __future__ import annotations

import time

import click

from squib.cli.endpoints import urls
from squib.cli.json_output import machine_json, print_json
from squib.cli.table import print_table
from squib.store import Machine
from squib.wiring import house

__all__ = ["ps"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def ps(as_json: bool) -> None:
    """List the microVMs of this user: those that run, and those that ended and were not removed."""
    with house().running() as running:
        running.clean()
        machines = running.store.list()
    if as_json:
        print_json([machine_json(machine) for machine in machines])
    else:
        print_table(("NAME", "STATE", "URL", "MEMORY", "VMM", "AGE"), [_row(machine) for machine in machines])


def _row(machine: Machine) -> tuple[str, ...]:
    state = f"{machine.state} ({machine.exit_reason})" if machine.over and machine.exit_reason else str(machine.state)
    age = _age(time.time() - machine.created_ms / 1000)
    return (
        machine.name,
        state,
        " ".join(urls(machine.forwards)),
        f"{machine.mem_size_mib} MiB",
        f"{machine.vmm}/{machine.accel}",
        age,
    )


def _age(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h`, `2 d`; a clock that went back gives `0 s`."""
    whole = max(0, int(seconds))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if whole >= size:
            return f"{whole // size} {unit}"
    return f"{whole} s"
