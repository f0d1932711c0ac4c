"""Boots that are watched and then ended: how the verbs that make them begin."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from squib.app.running import Running
from squib.cli.boot_options import appliance_of, with_keys
from squib.cli.key_words import chosen_by, split_words
from squib.cli.narrator import interrupts_told
from squib.cli.outbound import may_go_out
from squib.cli.param_types import Seconds
from squib.cli.progress import progress
from squib.model.image import Artifact
from squib.model.machine import Accel
from squib.model.progress import Progress
from squib.model.run import READY_S, RunSpec
from squib.model.units import parse_mem_size_mib
from squib.wiring import house

__all__ = ["TrialBoots", "one_boot_timeout_option", "trial_boots"]

one_boot_timeout_option = click.option(
    "--timeout",
    type=Seconds(1),
    default=READY_S,
    show_default=True,
    metavar="SECONDS",
    help="How long one boot may take to get ready.",
)


@dataclass(frozen=True, slots=True)
class TrialBoots:
    """What is to be booted, how, and by whom; `report` tells a person what goes on."""

    running: Running
    artifact: Artifact
    spec: RunSpec
    report: Progress


@contextlib.contextmanager
def trial_boots(
    arguments: tuple[str, ...], *, accel: str, memory: str | None, vcpus: int | None, timeout: float,
    outbound: bool | None, kernel: str | None, modules: Path | None, quiet: bool,
) -> Iterator[TrialBoots]:  # fmt: skip
    """All is built and cleaned up for them when the context begins. Raises UsageError, and what building raises."""
    words = split_words(arguments)
    spec = RunSpec(
        mem_size_mib=None if memory is None else parse_mem_size_mib(memory),
        vcpu_count=vcpus,
        accel=None if accel == "auto" else Accel(accel),
        ready_timeout_s=timeout,
        outbound=bool(outbound),
    )
    squib = house(kernel=kernel, modules=modules)
    spec = squib.with_network(spec, "auto")
    squib.look_ahead(spec)
    with interrupts_told(quiet=quiet), progress(quiet=quiet) as report:
        chosen = chosen_by(words, squib.chosen)
        spec = with_keys(spec, chosen, words)
        may_go_out(appliance_of(chosen), outbound, ask=False, quiet=quiet)
        artifact = squib.made(chosen, report)
        with squib.running() as running:
            running.clean()
            yield TrialBoots(running, artifact, spec, report)
