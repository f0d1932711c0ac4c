"""`squib kernel`: build the tuned kernel, see those that were built, remove them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from squib.cli.commands import Group
from squib.cli.completing import complete_kernels
from squib.cli.json_output import kernel_json, print_json
from squib.cli.param_types import Whole
from squib.cli.progress import progress
from squib.cli.table import print_table
from squib.model.units import format_bytes

if TYPE_CHECKING:
    from squib.build.tuned_kernels import BuiltKernel

__all__ = ["kernel"]


@click.group(cls=Group, synonyms={"ls": ("list",), "remove": ("rm",), "delete": ("rm",), "inspect": ("show",)})
def kernel() -> None:
    """The tuned kernel: one file with all that an appliance needs, and nothing to load.

    It boots faster than the distribution's, in less memory, without an initrd. It is compiled here, from the distribution's
    own source, once. Then: squib run --kernel tuned
    """


@kernel.command()
@click.option("-j", "--jobs", type=Whole(1, 1024), metavar="N", help="Compile N files at a time. Default: one a processor.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def build(jobs: int | None, quiet: bool) -> None:
    """Compile the tuned kernel, where it is not built yet.

    Takes the package linux-source as any user, and 2 GB of disk while it goes on; minutes, on two processors. The same
    source, configuration and compiler give the same bytes.
    """
    from squib.build import kernel_build, kernel_cache, tuned_kernels

    with progress(quiet=quiet) as report:
        report("asking apt for the kernel's source", None)
        key = kernel_build.plan()
        fresh = kernel_cache.load(key.name) is None
        if fresh:
            kernel_build.build(key, jobs, report)
    if not quiet:
        if not fresh:
            print(f"squib: {key.name} is built already", file=sys.stderr)
        _print([tuned_kernels.find(key.name)])


@kernel.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_kernels(as_json: bool) -> None:
    """List the tuned kernels that were built, the newest first."""
    from squib.build.tuned_kernels import installed

    kernels = installed()
    if as_json:
        print_json([kernel_json(one) for one in kernels])
    elif kernels:
        _print(kernels)
    else:
        print("none is built yet: squib kernel build", file=sys.stderr)


@kernel.command()
@click.argument("name", default="tuned", shell_complete=complete_kernels)
@click.option("--config", "whole", is_flag=True, help="Print its whole configuration, as .config has it.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def show(name: str, whole: bool, as_json: bool) -> None:
    """Show what a tuned kernel was made of; without NAME that which --kernel tuned takes."""
    from squib.build.tuned_kernels import find

    found = find(name)
    if whole:
        print(found.config, end="")
    elif as_json:
        print_json(kernel_json(found))
    else:
        _show(found)


@kernel.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete_kernels)
def rm(names: tuple[str, ...]) -> None:
    """Remove tuned kernels. What was built with them keeps its own copy."""
    from squib.build.tuned_kernels import remove

    for name in names:
        print(remove(name).name)


def _print(kernels: list[BuiltKernel] | tuple[BuiltKernel, ...]) -> None:
    rows = [
        (
            one.name,
            one.kernel.record.release,
            format_bytes(one.kernel.file.size),
            f"{one.built:%Y-%m-%d %H:%M}",
            "current" if one.current else "of another squib",
        )
        for one in kernels
    ]
    print_table(("NAME", "RELEASE", "SIZE", "BUILT (UTC)", "CONFIGURATION"), rows)


def _show(one: BuiltKernel) -> None:
    rows = [
        ("release", one.kernel.record.release),
        ("file", str(one.kernel.vmlinux)),
        ("size", format_bytes(one.kernel.file.size)),
        ("sha256", one.kernel.file.sha256),
        ("ends at", f"{one.kernel.record.load_mib} MiB in the guest's memory"),
        ("built", f"{one.built:%Y-%m-%d %H:%M:%S} UTC"),
        ("made for", "this squib" if one.current else "another squib: --kernel tuned does not take it"),
    ]
    print(one.name)
    for name, value in rows:
        print(f"  {name:9} {value}")
    print("  made of")
    for item in one.kernel.inputs:
        print(f"    {item.name:18} {item.version or '-'}  {item.sha256[:16]}")
