"""`squib measure`: numbers about an appliance that are found by trying."""

from __future__ import annotations

from pathlib import Path

import click

from squib.app.measuring import CONNECTIONS, REQUESTS, Measured, measure_memory
from squib.cli.boot_options import (
    accel_option,
    appliance_arguments,
    kernel_option,
    modules_option,
    vcpus_option,
)
from squib.cli.commands import Group
from squib.cli.completing import ApplianceCommand
from squib.cli.json_output import print_json
from squib.cli.outbound import outbound_option
from squib.cli.table import print_table
from squib.cli.trial_boots import one_boot_timeout_option, trial_boots
from squib.errors import GuestError
from squib.model.image import Artifact
from squib.model.memory_search import STEP_MIB, MemoryTrial, recommended

__all__ = ["measure", "measured_json"]


@click.group(cls=Group)
def measure() -> None:
    """Find out by trying what an appliance needs."""


@measure.command(cls=ApplianceCommand)
@appliance_arguments
@accel_option
@click.option("--memory", metavar="SIZE", help="What to start from. Default: what the appliance asks for.")
@vcpus_option
@outbound_option
@one_boot_timeout_option
@kernel_option
@modules_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def memory(
    arguments: tuple[str, ...], accel: str, memory: str | None, vcpus: int | None, outbound: bool | None,
    timeout: float, kernel: str | None, modules: Path | None, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Find the least memory in which an appliance boots and answers a load.

    APPLIANCE, DIR and --KEY VALUE are as squib run takes them. It is booted in halving steps down to 4 MiB, each time asked
    400 times on 16 connections. The least size has to work twice; then the size to set, with a margin, is tried
    as well. Nothing is left running, whenever it is interrupted.
    """
    with trial_boots(
        arguments,
        accel=accel,
        memory=memory,
        vcpus=vcpus,
        timeout=timeout,
        outbound=outbound,
        kernel=kernel,
        modules=modules,
        quiet=quiet,
    ) as trial:
        artifact = trial.artifact
        measured = measure_memory(trial.running, artifact, trial.spec, trial.report)
    if as_json:
        print_json(measured_json(artifact, measured))
    else:
        _show(artifact, measured)
    if measured.least_mib is None:
        most = max(one.mem_size_mib for one in measured.trials)
        raise GuestError(
            f"{artifact.manifest.appliance.name} did not work even with {most} MiB: {measured.trials[-1].problem}",
            hint="run it with its console: squib run",
        )


def measured_json(artifact: Artifact, measured: Measured) -> dict[str, object]:
    """The outcome, as `--json` shows it (docs/json.md)."""
    least = measured.least_mib
    return {
        "appliance": artifact.manifest.appliance.name,
        "kernel": artifact.manifest.kernel.release,
        "vmm": measured.choice.vmm.value,
        "accel": measured.choice.accel.value,
        "least_mib": least,
        "recommended_mib": None if least is None else recommended(least),
        "step_mib": STEP_MIB,
        "refused_below_mib": measured.floor_mib,
        "requests": REQUESTS,
        "connections": CONNECTIONS,
        "trials": [
            {"memory_mib": one.mem_size_mib, "works": one.works, "problem": one.problem or None, "boot_s": one.boot_s}
            for one in measured.trials
        ],
    }


def _show(artifact: Artifact, measured: Measured) -> None:
    appliance, kernel = artifact.manifest.appliance, artifact.manifest.kernel
    print(f"{appliance.name} with kernel {kernel.release} in {measured.choice.vmm} with {measured.choice.reason}\n")
    print_table(("MEMORY", "STATE", "WHAT CAME OF IT"), [_row(one) for one in measured.trials])
    least = measured.least_mib
    if least is None:
        return
    print(f"\n{least} MiB is the least that works, in steps of {STEP_MIB} MiB.")
    if least - STEP_MIB < measured.floor_mib:
        print(f"Less than {measured.floor_mib} MiB is refused without a boot: the kernel would not fit.")
    advice = recommended(least)
    print(f"Set {advice} MiB: a quarter more, at least 8 MiB, for what an app keeps as it runs and for more connections.\n")
    print(f'  appliance.toml:  [machine] memory = "{advice}M"')
    print(f"  one run:         --memory {advice}M")


def _row(one: MemoryTrial) -> tuple[str, str, str]:
    booted = "" if one.boot_s is None else f"ready after {one.boot_s:.1f} s"
    if one.works:
        return f"{one.mem_size_mib} MiB", "ok", f"{booted}; {one.requests} requests answered"
    return f"{one.mem_size_mib} MiB", "failed", f"{booted}{'; ' if booted else ''}{one.problem}"
