"""`squib boot-report`: a boot as a timeline, and whether the appliance keeps its budgets."""

from __future__ import annotations

import statistics
from pathlib import Path

import click

from squib.app.boot_reporting import Watched, watch_boots
from squib.cli.boot_chart import print_timeline
from squib.cli.boot_options import (
    accel_option,
    appliance_arguments,
    kernel_option,
    modules_option,
    vcpus_option,
)
from squib.cli.completing import ApplianceCommand
from squib.cli.json_output import print_json
from squib.cli.outbound import outbound_option
from squib.cli.param_types import Whole
from squib.cli.table import print_table
from squib.cli.trial_boots import one_boot_timeout_option, trial_boots
from squib.formats.timeline_svg import timeline_svg
from squib.host.files import write_atomic
from squib.model.boot import BootReport, Finding, Timeline
from squib.model.image import Artifact

__all__ = ["boot_report", "report_json"]

MAX_ROUNDS = 100
OVER_BUDGET = 1
"""The exit code where a budget is not kept (docs/exit-codes.md)."""


@click.command("boot-report", cls=ApplianceCommand)
@appliance_arguments
@click.option(
    "-n", "--rounds", type=Whole(1, MAX_ROUNDS), metavar="N", default=1, show_default=True, help="How many boots, at most 100."
)
@accel_option
@click.option("--memory", metavar="SIZE", help="The guest's memory, as in 128M or 1G.")
@vcpus_option
@outbound_option
@one_boot_timeout_option
@kernel_option
@modules_option
@click.option("--svg", type=click.Path(path_type=Path), metavar="FILE", help="Write the timeline as a picture, too.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but budgets that are not kept, and errors.")
def boot_report(
    arguments: tuple[str, ...], rounds: int, accel: str, memory: str | None, vcpus: int | None, outbound: bool | None,
    timeout: float, kernel: str | None, modules: Path | None, svg: Path | None, as_json: bool, quiet: bool,
) -> int:  # fmt: skip
    """Boot an appliance, and show where the time goes.

    APPLIANCE, DIR and --KEY VALUE are as squib run takes them. It is booted --rounds times, one boot after the other; the
    quickest is what counts, and what is drawn. Nothing is left running.

    Where the appliance file has a [budget], what was measured is held against it, and the exit code is 1 where a
    budget is not kept.
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
        watched = watch_boots(trial.running, artifact, trial.spec, rounds=rounds, report=trial.report)
    if svg is not None:
        title, subtitle = _titles(artifact, watched)
        write_atomic(svg, timeline_svg(watched.report.quickest, title, subtitle).encode())
    if as_json:
        print_json(report_json(artifact, watched))
    else:
        _show(artifact, watched, quiet=quiet)
    return 0 if watched.report.ok else OVER_BUDGET


def _show(artifact: Artifact, watched: Watched, *, quiet: bool) -> None:
    report = watched.report
    if not quiet:
        title, _ = _titles(artifact, watched)
        print(f"{title}\n{_booted_by(artifact, watched)}\n")
        print_timeline(report.quickest)
        print()
        for line in _notes(report):
            print(line)
    shown = report.budgets if not quiet else [one for one in report.budgets if not one.kept]
    if shown:
        if not quiet:
            print()
        print_table(("BUDGET", "LIMIT", "MEASURED", "STATE"), [_budget_row(one) for one in shown])


def _titles(artifact: Artifact, watched: Watched) -> tuple[str, str]:
    end = "the first answer" if watched.machine.forwards else "readiness"
    title = f"{artifact.manifest.appliance.name}: {watched.report.quickest.end_ms:.0f} ms from the VMM's start to {end}"
    machine = watched.machine
    subtitle = (
        f"{machine.vmm} by {machine.accel}, kernel {artifact.manifest.kernel.release}, {machine.mem_size_mib} MiB, "
        f"{machine.vcpu_count} vCPU"
    )
    return title, subtitle


def _booted_by(artifact: Artifact, watched: Watched) -> str:
    machine = watched.machine
    return (
        f"in {machine.vmm} with {watched.choice.reason}\n"
        f"kernel {artifact.manifest.kernel.release}, {machine.mem_size_mib} MiB, {machine.vcpu_count} vCPU"
    )


def _notes(report: BootReport) -> list[str]:
    quickest = report.quickest
    lines = []
    if len(report.rounds) > 1:
        ends_ms = [one.end_ms for one in report.rounds]
        lines.append(
            f"boots   {len(ends_ms)}: least {min(ends_ms):.0f} ms (shown), median {statistics.median(ends_ms):.0f} ms, "
            f"most {max(ends_ms):.0f} ms"
        )
    lines.append(f"ready   {quickest.ready_ms:.0f} ms")
    used = "not told by the guest" if report.used_mib is None else f"{report.used_mib:.0f} MiB used once ready"
    lines.append(f"memory  {used}")
    lines.append(f"rootfs  {report.rootfs_mib:.1f} MiB")
    lines.append(f"clocks  the guest's is laid on the host's; its lines agree within {quickest.spread_ms:.0f} ms")
    return lines


def _budget_row(finding: Finding) -> tuple[str, str, str, str]:
    unit = "ms" if finding.name.endswith("_ms") else "MiB"
    digits = 0 if unit == "ms" else 1
    measured = "unknown" if finding.measured is None else f"{finding.measured:.{digits}f} {unit}"
    return finding.name, f"{finding.limit} {unit}", measured, "ok" if finding.kept else "failed"


def report_json(artifact: Artifact, watched: Watched) -> dict[str, object]:
    """As docs/json.md has it."""
    report, machine = watched.report, watched.machine
    return {
        "ok": report.ok,
        "appliance": artifact.manifest.appliance.name,
        "kernel": artifact.manifest.kernel.release,
        "vmm": machine.vmm,
        "accel": machine.accel.value,
        "memory_mib": machine.mem_size_mib,
        "vcpus": machine.vcpu_count,
        "boot_ms": _ms(report.quickest.end_ms),
        "ready_ms": _ms(report.quickest.ready_ms),
        "answered": bool(machine.forwards),
        "clock_spread_ms": _ms(report.quickest.spread_ms),
        "phases": _phases_json(report.quickest),
        "rounds": [{"boot_ms": _ms(one.end_ms), "ready_ms": _ms(one.ready_ms)} for one in report.rounds],
        "rootfs_mib": round(report.rootfs_mib, 3),
        "used_mib": None if report.used_mib is None else round(report.used_mib, 1),
        "budgets": [
            {"name": one.name, "limit": one.limit, "measured": None if one.measured is None else round(one.measured, 3),
             "kept": one.kept}
            for one in report.budgets
        ],
    }  # fmt: skip


def _phases_json(timeline: Timeline) -> list[dict[str, object]]:
    return [
        {
            "name": phase.name,
            "what": phase.what,
            "begin_ms": _ms(phase.begin_ms),
            "end_ms": _ms(phase.end_ms),
            "steps": [{"name": step.name, "begin_ms": _ms(step.begin_ms), "end_ms": _ms(step.end_ms)} for step in phase.steps],
        }
        for phase in timeline.phases
    ]


def _ms(value: float) -> float:
    return round(value, 1)
