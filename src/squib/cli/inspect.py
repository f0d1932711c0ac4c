"""`squib inspect`: all that is known of a machine, for people in sections, for programs as JSON."""

from __future__ import annotations

import shutil
import sys
import textwrap
import time
from collections.abc import Iterator

import click

from squib.app.inspecting import Inspection, WayOutState
from squib.app.inspecting import inspect as look_at
from squib.cli.commands import Command
from squib.cli.completing import complete_machines
from squib.cli.durations import duration
from squib.cli.endpoints import urls
from squib.cli.escaping import one_line
from squib.cli.json_output import inspection_json, print_json, time_text
from squib.cli.named_machines import names_argument
from squib.host.ports import endpoint
from squib.model.machine import EndedBy
from squib.model.units import format_bytes
from squib.vmm.guest_report import describe_cause
from squib.wiring import house

__all__ = ["inspect"]

_ENDED_BY = {
    EndedBy.STOP: "the guest, as it was asked to",
    EndedBy.SERVER: "the guest, because of its server",
    EndedBy.GUEST: "the guest, because of its kernel or its init",
    EndedBy.VMM: "the VMM, without a word of the guest",
    EndedBy.FORCE: "squib, by force",
    EndedBy.HOST: "the host, which was restarted",
}

Lines = Iterator[tuple[str, str]]


@click.command(cls=Command)
@names_argument(complete_machines)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def inspect(names: tuple[str, ...], as_json: bool) -> None:
    """Show all that is known of microVMs: how they do, where they listen, what they use, what they were started from.

    Memory is the VMM's process, guest included; its share of the processor is an average since it started.
    """
    with house().running() as running:
        running.clean()
        machines = [running.store.get(name) for name in names]
    seen = [look_at(machine) for machine in machines]
    if as_json:
        print_json([inspection_json(one) for one in seen])
        return
    print("\n\n".join(_text(one) for one in seen))


def _text(seen: Inspection) -> str:
    sections = {
        "Status": _status(seen),
        "Addresses": _addresses(seen),
        "Spec": _spec(seen),
        "In use": _usage(seen),
        "Image": _image(seen),
        "Files": iter((("folder", str(seen.machine.run_dir)), ("console", str(seen.console)))),
    }
    lines = [one_line(seen.machine.name)]
    for title, pairs in sections.items():
        rows = [line for label, value in pairs for line in _row(label, one_line(value))]
        if rows:
            lines += [f"  {title}", *rows]
    return "\n".join(lines)


def _row(label: str, value: str) -> list[str]:
    """In more than one line where the terminal is narrower; no word is broken, so a path or a URL may be longer than it."""
    first, others = f"    {label:12}", " " * 16
    if not sys.stdout.isatty():
        return [f"{first}{value}".rstrip()]
    width = max(40, shutil.get_terminal_size().columns)
    return textwrap.wrap(
        value, width, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    ) or [first.rstrip()]


def _status(seen: Inspection) -> Lines:
    machine, readiness = seen.machine, seen.observed.readiness
    if machine.over:
        yield "state", str(machine.state)
        status = "none" if machine.exit_status is None else str(machine.exit_status)
        yield "end", f"{machine.exit_reason or 'unknown'} (status {status})"
        if machine.ended_by is not None:
            yield "ended by", _ENDED_BY[machine.ended_by]
        if machine.ended_ms is not None:
            yield "ended", f"{time_text(machine.ended_ms)}, {duration(time.time() - machine.ended_ms / 1000)} ago"
    else:
        yield "state", f"{machine.state}, {'ready' if readiness.ready else f'not ready: {readiness.because}'}"
        if seen.observed.uptime_s is not None:
            boot = "" if machine.boot_ms is None else f"; ready after {machine.boot_ms / 1000:.1f} s"
            yield "uptime", f"{duration(seen.observed.uptime_s)}{boot}"
    yield "created", time_text(machine.created_ms) or ""
    if seen.guest.health != "none":
        yield "health", seen.guest.health
    if seen.guest.restarts:
        yield "server", f"started again {seen.guest.restarts} times, last because of {describe_cause(seen.guest.cause)}"
    if machine.restarts:
        yield "restarts", str(machine.restarts)
    how = f"with {machine.accel_reason}" if machine.accel_reason else f"by {machine.accel}"
    yield "runs in", f"{machine.vmm} {how}"
    if seen.jail is not None:
        yield "jailed", f"as user {seen.jail.uid}, in {seen.jail.root}"


def _addresses(seen: Inspection) -> Lines:
    for url in urls(seen.machine):
        yield "url", url
    for forward in seen.machine.forwards:
        yield "forward", f"{endpoint(forward.host_address, forward.host_port)} to the guest's {forward.guest_port}"
    if seen.spec is not None and seen.spec.tap is not None:
        yield "tap", seen.spec.tap[0]
    if seen.way_out is WayOutState.ENDED:
        yield "network", f"cut off: what connected it to the host has ended; squib restart {seen.machine.name}"


def _spec(seen: Inspection) -> Lines:
    machine, spec = seen.machine, seen.spec
    yield "appliance", machine.appliance
    yield "memory", f"{machine.mem_size_mib} MiB"
    yield "vcpus", str(machine.vcpu_count)
    if spec is None:
        yield "asked for", "not known: an older squib started it"
        return
    for key, value in spec.values:
        yield "key", f"--{key} {value}"
    if spec.publish is None:
        yield "publish", "each port of the appliance, on a free port"
    for one in spec.publish or ():
        yield "publish", f"{endpoint(one.host_address, one.host_port)}:{one.guest_port}"
    if spec.tap is None:
        yield "outbound", "allowed" if spec.outbound else "not allowed"


def _usage(seen: Inspection) -> Lines:
    use = seen.usage
    if use is None or seen.machine.process is None:
        return
    yield "process", str(seen.machine.process.pid)
    shared = "" if use.pss_mib is None else f" ({use.pss_mib:.0f} MiB with shared pages divided)"
    yield "memory", f"{use.rss_mib:.0f} MiB resident{shared}"
    yield "cpu", f"{use.cpu_s:.1f} s, {use.cpu_percent:.0f} % of one processor since it started"


def _image(seen: Inspection) -> Lines:
    image = seen.image
    if image.folder is not None:
        yield "folder", f"{image.folder} ({image.state})"
        yield "manifest", f"sha256 {image.manifest_digest}"
    if not image.files:
        yield "rootfs", f"sha256 {seen.machine.image_digest}"
    for file in image.files:
        yield file.name, f"sha256 {file.sha256} ({format_bytes(file.size)})"
