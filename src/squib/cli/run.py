"""`squib run`: boot an appliance in a microVM, in the foreground with its console, or detached."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from squib.app.running import Running, Session
from squib.cli.completing import KeyedCommand, complete_appliance
from squib.cli.endpoints import urls
from squib.cli.json_output import machine_json, print_json
from squib.cli.key_arguments import split_arguments
from squib.cli.narrator import Narrator, say
from squib.cli.progress import progress
from squib.cli.seconds import Seconds
from squib.errors import GuestError, HostError
from squib.model.machine import Accel, EndedBy, PortForward
from squib.model.run import RunSpec, parse_publish
from squib.model.units import parse_mem_size_mib
from squib.vmm.base import VmEnd
from squib.wiring import house

__all__ = ["run"]

STOP_S = 15.0
"""Seconds that a guest has to stop: PID 1 gives its server 12."""


_PUBLISH_HELP = (
    "Make a TCP port of the guest reachable; ADDR is 127.0.0.1 unless named, and HOST 0 is any free port. Repeatable. "
    "Default: each port of the appliance, on a free port."
)


@click.command(cls=KeyedCommand, context_settings={"ignore_unknown_options": True})
@click.argument(
    "arguments",
    nargs=-1,
    type=click.UNPROCESSED,
    metavar="[APPLIANCE | DIR] [--KEY VALUE]...",
    shell_complete=complete_appliance,
)
@click.option(
    "--vmm", type=click.Choice(["auto", "qemu"]), default="auto", show_default=True, help="The virtual machine monitor."
)
@click.option(
    "--accel",
    type=click.Choice(["auto", "kvm", "tcg"]),
    default="auto",
    show_default=True,
    help="KVM where it is shown to work, else emulation.",
)
@click.option("--memory", metavar="SIZE", help="The guest's memory, as in 128M or 1G.")
@click.option("--vcpus", type=click.IntRange(1, 32), metavar="N", help="The guest's processors.")
@click.option(
    "-p",
    "--publish",
    multiple=True,
    metavar="[ADDR:]HOST:GUEST",
    help=_PUBLISH_HELP,
)
@click.option("--name", metavar="NAME", help="The machine's name. Default: the appliance's, with a number where it is taken.")
@click.option("-d", "--detach", is_flag=True, help="Leave it running once it answers; squib stop ends it.")
@click.option(
    "--timeout",
    type=Seconds(min=1),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="How long it may take to get ready.",
)
@click.option(
    "--kernel",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="A vmlinux or bzImage, instead of the distribution's package.",
)
@click.option("--modules", type=click.Path(path_type=Path), metavar="DIR", help="Modules of that kernel (lib/modules/RELEASE).")
@click.option("--show", type=click.Choice(["machine", "argv"]), help="Print what would be booted, and start nothing.")
@click.option("--json", "as_json", is_flag=True, help="With --detach: print the machine as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but the console and errors.")
def run(
    arguments: tuple[str, ...], vmm: str, accel: str, memory: str | None, vcpus: int | None, publish: tuple[str, ...],
    name: str | None, detach: bool, timeout: float, kernel: Path | None, modules: Path | None, show: str | None,
    as_json: bool, quiet: bool,
) -> int:  # fmt: skip
    """Boot an appliance in a microVM.

    APPLIANCE is a folder, a file, or the name of a packaged one; DIR is what `squib build` made. Without either:
    ./appliance.toml, else [tool.squib] in ./pyproject.toml, else the clock. It is built first where that is needed.

    --KEY VALUE sets a key of the appliance, as in --port 8080; --logs LEVEL sets how much its server logs.

    In the foreground the console is printed, and Ctrl-C stops the machine; a second one ends it at once.
    """
    del vmm  # QEMU is the only one so far, and so what `auto` means
    selector, values = split_arguments(arguments)
    spec = RunSpec(
        values=values,
        mem_size_mib=None if memory is None else parse_mem_size_mib(memory),
        vcpu_count=vcpus,
        publish=tuple(map(parse_publish, publish)) if publish else None,
        name=name,
        accel=None if accel == "auto" else Accel(accel),
        ready_timeout_s=timeout,
    )
    squib = house(kernel=kernel, modules=modules)
    with progress(quiet=quiet) as report:
        artifact = squib.artifact(selector, report)
    with squib.running() as running:
        if show is not None:
            print(squib.show(running, artifact, spec, show))
            return 0
        running.clean()
        narrator = Narrator(quiet=quiet, console=not detach)
        with running.started(artifact, spec, narrator) as session:
            if not quiet:
                for line in _where(session.machine.forwards):
                    say(f"{session.machine.name} is ready {line} after {session.boot_s:.1f} s")
            if detach:
                return _let_go(running, session, as_json=as_json)
            if not quiet:
                say("Ctrl-C stops it")
            return _exit_status(_watch(session, narrator))


def _where(forwards: tuple[PortForward, ...]) -> list[str]:
    return [f"at {url}" for url in urls(forwards)] or ["(nothing published)"]


def _let_go(running: Running, session: Session, *, as_json: bool) -> int:
    session.detach()
    if as_json:
        print_json(machine_json(running.store.get(session.machine.name)))
    else:
        print(" ".join([session.machine.name, *urls(session.machine.forwards)]))
    return 0


def _watch(session: Session, narrator: Narrator) -> VmEnd:
    """The console until the machine ends; SIGINT and SIGTERM stop it gracefully, a second one at once."""
    try:
        end = session.vm.wait(None, narrator.output)
    except (KeyboardInterrupt, SystemExit):
        say("stopping; once more to end it at once")
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        end = session.stop(STOP_S, narrator.output)
    if end is None:  # `wait` without a limit gives an end
        raise GuestError("the machine was lost sight of")
    return end


def _exit_status(end: VmEnd) -> int:
    if end.status == 0:
        return 0
    hint = "what it said last is above"
    match end.by:
        case EndedBy.VMM:
            raise HostError(f"VMM: {end.reason}", hint=f"{hint}; see whether the host ended it: dmesg | tail")
        case EndedBy.SERVER:
            raise GuestError(f"server: {end.reason} (status {end.status})", hint=hint)
        case EndedBy.FORCE:
            raise GuestError(end.reason, hint=hint)
        case _:
            status = "" if end.status is None else f" (status {end.status})"
            raise GuestError(f"guest: {end.reason}{status}", hint=f"{hint}; docs/guest-abi.md has the table")
