"""`squib demo`: the whole of squib in one command, with nothing left behind."""

from __future__ import annotations

import shutil
import sys
import time

import click

from squib.app.running import Running, Session
from squib.cli.boot_options import kernel_option
from squib.cli.commands import Command
from squib.cli.endpoints import urls
from squib.cli.escaping import one_line
from squib.cli.named_machines import STOP_S
from squib.cli.narrator import interrupts_told
from squib.cli.probe import ask_repeatedly
from squib.cli.progress import progress
from squib.errors import GuestError
from squib.host.appliances import CLOCK
from squib.model.image import INITRD, ROOTFS, VMLINUX, Artifact
from squib.model.machine import VmmChoice
from squib.model.run import LOOPBACK, Publish, RunSpec
from squib.model.units import format_bytes
from squib.probe.http import ask
from squib.store import Machine
from squib.wiring import house

__all__ = ["demo"]

_QUESTIONS = 4


class _Narrator:
    def chosen(self, machine: Machine, choice: VmmChoice) -> None:
        print(f"Booting it in {machine.vmm} with {choice.reason}.", flush=True)

    def output(self, data: bytes) -> None:
        """The console stays in the dark; an error shows its end."""

    def boots_again(self, error: GuestError) -> None:
        print(f"The first boot died ({error}); trying once more.", flush=True)

    def waited(self) -> None:
        """What comes next says it."""


@click.command(cls=Command)
@kernel_option
def demo(kernel: str | None) -> int:
    """Build the clock appliance, boot it in the best VMM that works here, ask it four times, show what it took, stop it."""
    squib = house(kernel=kernel)
    begin = time.monotonic()
    with progress() as report:
        artifact = squib.artifact(CLOCK, report)
    print(
        f"Built the appliance {artifact.manifest.appliance.name} in {time.monotonic() - begin:.1f} s: {artifact.folder}",
        flush=True,
    )
    with interrupts_told(), squib.running() as running:
        running.clean()
        return _boot_and_ask(running, artifact)


def _boot_and_ask(running: Running, artifact: Artifact) -> int:
    spec = RunSpec(publish=(Publish(LOOPBACK, 0, 80),))
    with running.started(artifact, spec, _Narrator()) as session:
        (url,) = urls(session.machine)
        first = ask(url, 10)
        if first.error:
            raise GuestError(f"{url}: {first.error}", hint=f"run it with its console: squib run {CLOCK}")
        first_answer_s = session.boot_s + first.latency_us / 1_000_000
        print(f"It serves at {url}; asking it {_QUESTIONS} times:\n", flush=True)
        result = ask_repeatedly(url, count=_QUESTIONS, interval=1, timeout=10, show=True)
        print()
        _table(artifact, session, first_answer_s)
        end = session.stop(STOP_S)
    for failure in result.failures:
        print(f"squib: {one_line(failure)}", file=sys.stderr)
    if end.status != 0:
        raise GuestError(f"the machine did not stop as it should: {end.reason}", hint=f"look at its console: squib run {CLOCK}")
    print(f"\nStopped; nothing is left running. Go on with: {_as_typed()} run {CLOCK}")
    return 0 if result.ok else 1


def _as_typed() -> str:
    """The command that starts this squib: by its name where the shell finds it, else by its path."""
    program = sys.argv[0]
    return "squib" if shutil.which("squib") or not program.endswith("squib") else program


def _table(artifact: Artifact, session: Session, first_answer_s: float) -> None:
    sizes = {file.name: file.size for file in artifact.manifest.files}
    rows = (
        ("image", ", ".join(f"{name} {format_bytes(sizes[name])}" for name in (ROOTFS, INITRD) if name in sizes)),
        ("kernel", f"{artifact.manifest.kernel.release}, {format_bytes(sizes[VMLINUX])}"),
        ("memory", f"{session.machine.mem_size_mib} MiB, {session.machine.vcpu_count} vCPU"),
        (
            "boot",
            f"{first_answer_s:.2f} s to the first answer; in the guest {session.ready.uptime_ms / 1000:.2f} s until ready",
        ),
        ("runs in", f"{session.machine.vmm} by {session.machine.accel}, as said above"),
    )
    for name, value in rows:
        print(f"  {name:8} {value}")
