"""`squib run`: boot an appliance in a microVM, in the foreground with its console, or detached."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import replace
from pathlib import Path

import click

from squib.app.running import Running, Session
from squib.cli.boot_options import (
    accel_option,
    appliance_arguments,
    appliance_of,
    kernel_option,
    modules_option,
    vcpus_option,
    with_keys,
)
from squib.cli.completing import ApplianceCommand
from squib.cli.endpoints import urls
from squib.cli.json_output import machine_json, print_json
from squib.cli.key_words import chosen_by, split_words
from squib.cli.named_machines import STOP_S
from squib.cli.narrator import Narrator, interrupts_told, say
from squib.cli.outbound import may_go_out, outbound_option, tell_outbound
from squib.cli.param_types import OneOf, Seconds
from squib.cli.progress import progress
from squib.errors import GuestError, HostError
from squib.host.caught import answer
from squib.model.appliance import Appliance
from squib.model.machine import Accel, EndedBy, VmmKind, check_machine_name
from squib.model.network import parse_guest_ip, parse_tap
from squib.model.run import READY_S, RunSpec, parse_publish
from squib.model.units import parse_mem_size_mib
from squib.store import Machine
from squib.vmm.base import VmEnd
from squib.vmm.plan import served, unserved
from squib.wiring import House, house

__all__ = ["run"]

_PUBLISH_HELP = (
    "Make the guest's TCP port GUEST reachable at port HOST of this host, on 127.0.0.1 unless ADDR is given; HOST 0 is any "
    "free port. Repeatable. Default: each port of the appliance at the same port here (80 at 8080), or at any free one."
)


_SECTIONS = (
    ("The machine", ("memory", "vcpus", "kernel", "modules", "vmm", "accel")),
    ("Its network", ("publish", "outbound", "network", "tap", "ip", "no_jailer")),
    ("This run", ("name", "detach", "timeout", "show", "as_json", "quiet")),
)


@click.command(cls=ApplianceCommand, sections=_SECTIONS)
@appliance_arguments
@click.option(
    "--vmm",
    type=OneOf(["auto", "qemu", "firecracker"]),
    default="auto",
    show_default=True,
    help="The program that runs the microVM. auto is Firecracker with --tap, where KVM works, and QEMU otherwise.",
)
@accel_option
@click.option("--memory", metavar="SIZE", help="The guest's memory, as in 128M or 1G.")
@vcpus_option
@click.option(
    "-p",
    "--publish",
    multiple=True,
    metavar="[ADDR:]HOST:GUEST",
    help=_PUBLISH_HELP,
)
@click.option(
    "--tap", metavar="DEV[/MAC]", help="For Firecracker: a tap device of this host. The guest is reached at its own address."
)
@click.option(
    "--ip",
    metavar="CLIENT/PREFIX,GATEWAY",
    help="The guest's address on the tap, and its gateway; or a kernel's ip= line. Default: 172.17.100.2/24,172.17.100.1.",
)
@click.option(
    "--network",
    type=OneOf(["auto", "host", "user", "none"]),
    default="auto",
    show_default=True,
    help="host: a tap on this host, for root's Firecracker, after squib host setup. user: a network in a namespace; needs nft, "
    "and pasta or slirp4netns. none: no network. auto: for Firecracker without --tap what works here, host for root and user "
    "for others; for QEMU its own, and user with --outbound.",
)
@outbound_option
@click.option(
    "--no-jailer",
    is_flag=True,
    help="Run root's Firecracker without its jailer: as root, with this host's files in reach, and without limits.",
)
@click.option("--name", metavar="NAME", help="Its name. Default: the appliance's, with a number if that is taken.")
@click.option("-d", "--detach", is_flag=True, help="Leave it running in the background; squib stop ends it.")
@click.option(
    "--timeout",
    type=Seconds(1),
    default=READY_S,
    show_default=True,
    metavar="SECONDS",
    help="How long it may take until it is ready.",
)
@kernel_option
@modules_option
@click.option("--show", type=OneOf(["machine", "argv", "requests"]), help="Print what would be booted, and start nothing.")
@click.option("--json", "as_json", is_flag=True, help="With --detach: print the machine as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but the console and errors.")
def run(
    arguments: tuple[str, ...], vmm: str, accel: str, memory: str | None, vcpus: int | None, publish: tuple[str, ...],
    tap: str | None, ip: str | None, network: str, outbound: bool | None, no_jailer: bool,
    name: str | None, detach: bool, timeout: float, kernel: str | None, modules: Path | None, show: str | None,
    as_json: bool, quiet: bool,
) -> int:  # fmt: skip
    """Boot an appliance in a microVM.

    APPLIANCE is a folder, a file, or clock, which comes with squib; DIR is what `squib build` made. Without either it is the
    appliance of the working folder: appliance.toml, or [tool.squib] in pyproject.toml. It is built first where that is needed.

    --KEY VALUE sets a key of the appliance, as in --port 8080; --logs LEVEL sets how much its server logs.

    In the foreground the console is printed, and Ctrl-C stops the machine; a second one ends it at once.
    """
    words = split_words(arguments)
    spec = RunSpec(
        mem_size_mib=None if memory is None else parse_mem_size_mib(memory),
        vcpu_count=vcpus,
        name=None if name is None else check_machine_name(name),
        accel=None if accel == "auto" else Accel(accel),
        ready_timeout_s=timeout,
        vmm=None if vmm == "auto" else VmmKind(vmm),
        tap=None if tap is None else parse_tap(tap),
        guest_ip=None if ip is None else parse_guest_ip(ip),
        no_jailer=no_jailer,
        outbound=bool(outbound),
    )
    squib = house(kernel=kernel, modules=modules)
    chosen = chosen_by(words, squib.chosen)
    appliance = appliance_of(chosen)
    wished = _with_ports(with_keys(spec, chosen, words), appliance, publish)
    spec = squib.with_network(wished, network)
    with squib.running() as running:
        if show is None:
            squib.look_ahead(spec)
            running.clean()
            running.store.check_free(spec.name, spec.publish or ())
            spec = _with_consent(squib, appliance, wished, spec, network, said=outbound, quiet=quiet)
        with progress(quiet=quiet) as report:
            artifact = squib.made(chosen, report)
        if show is not None:
            print(squib.show(running, artifact, spec, show))
            return 0
        if not quiet:
            _warn_of_ports(appliance, spec)
        narrator = Narrator(quiet=quiet, console=not detach, jailless=no_jailer and os.geteuid() == 0)
        with contextlib.ExitStack() as stack:
            with interrupts_told(quiet=quiet):
                session = stack.enter_context(running.started(artifact, spec, narrator))
            if not quiet:
                for line in _where(session.machine):
                    say(f"{session.machine.name} is ready {line} after {session.boot_s:.1f} s")
            if detach:
                return _let_go(running, session, as_json=as_json)
            return _exit_status(_watch(session, narrator, quiet=quiet))


def _with_ports(spec: RunSpec, appliance: Appliance, publish: tuple[str, ...]) -> RunSpec:
    ports = served(appliance, spec)
    return replace(spec, publish=tuple(parse_publish(text, ports) for text in publish) if publish else None)


def _with_consent(
    squib: House, appliance: Appliance, wished: RunSpec, spec: RunSpec, network: str, *, said: bool | None, quiet: bool
) -> RunSpec:
    """`spec`, or `wished` with a way out, where the user says yes to what the appliance asks for. What he allows is told."""
    if spec.tap is not None:
        return spec
    if may_go_out(appliance, said, ask=True, quiet=quiet) and not spec.outbound:
        spec = squib.with_network(replace(wished, outbound=True), network)
        squib.look_ahead(spec)
    if spec.outbound and not quiet:
        tell_outbound(appliance)
    return spec


def _warn_of_ports(appliance: Appliance, spec: RunSpec) -> None:
    """A published port that nobody is known to listen on accepts, and then closes, every connection."""
    for port in unserved(appliance, spec):
        listed = ", ".join(map(str, served(appliance, spec))) or "no port"
        say(f"warning: {appliance.name} says that it serves {listed}; perhaps nobody listens on the guest's port {port}")


def _where(machine: Machine) -> list[str]:
    nowhere = (
        "(without a network: --network user, for root --network host, or --tap gives it one)"
        if machine.vmm == VmmKind.FIRECRACKER
        else "(nothing published)"
    )
    return [f"at {url}" for url in urls(machine)] or [nowhere]


def _let_go(running: Running, session: Session, *, as_json: bool) -> int:
    session.detach()
    if as_json:
        print_json(machine_json(running.store.get(session.machine.name)))
    else:
        print(" ".join([session.machine.name, *urls(session.machine)]))
    return 0


def _watch(session: Session, narrator: Narrator, *, quiet: bool) -> VmEnd:
    """The console until the machine ends; SIGINT and SIGTERM stop it gracefully, a second one at once."""
    try:
        if not quiet:
            say("Ctrl-C stops it")
        end = session.vm.wait(None, narrator.output)
    except (KeyboardInterrupt, SystemExit):
        try:
            say("stopping; once more to end it at once")
            answer(signal.SIGTERM, signal.default_int_handler)
            end = session.stop(STOP_S, narrator.output)
        except KeyboardInterrupt:
            end = session.vm.kill()
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
