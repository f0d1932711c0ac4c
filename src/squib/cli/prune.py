"""`squib prune`: room on the disk, from what squib keeps to be quicker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import click

from squib.cli.commands import Command
from squib.cli.json_output import print_json, time_text
from squib.cli.table import print_table
from squib.model.cached import CachedItem, CachedKind, Pruning
from squib.model.units import format_bytes
from squib.wiring import house

__all__ = ["prune", "pruning_json"]

_ONE_BY_ONE = frozenset({CachedKind.ARTIFACT, CachedKind.FIRECRACKER})
"""The others are many files that tell nobody anything: a row a kind does."""


@click.command(cls=Command)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also the distribution's kernel, Firecracker and byte code: all but tuned kernels.",
)
@click.option("--dry-run", is_flag=True, help="Remove nothing, and tell what would go.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def prune(everything: bool, dry_run: bool, as_json: bool, quiet: bool) -> None:
    """Remove from squib's cache what no microVM needs: built images, kernels that were named, and what killed squibs left.

    It is made again when it is needed. What a microVM was started from stays until squib rm. Tuned kernels are removed by
    squib kernel rm.
    """
    pruning = house().prune(everything=everything, dry_run=dry_run)
    if as_json:
        print_json(pruning_json(pruning, dry_run=dry_run))
        return
    if quiet:
        return
    if pruning.removed:
        print_table(("KIND", "WHAT", "SIZE"), _rows(pruning.removed))
        print()
    print(f"{format_bytes(pruning.freed_bytes)} {'would be' if dry_run else 'were'} freed.")
    for item in pruning.kept:
        if item.kind in _ONE_BY_ONE:
            print(f"Kept, because {item.needed_by} needs it: {item.path}")


def _rows(items: Sequence[CachedItem]) -> list[tuple[str, str, str]]:
    rows = [(item.kind.value, str(item.path), format_bytes(item.size)) for item in items if item.kind in _ONE_BY_ONE]
    many = [item for item in items if item.kind not in _ONE_BY_ONE]
    sizes: Counter[CachedKind] = Counter()
    for item in many:
        sizes[item.kind] += item.size
    counts = Counter(item.kind for item in many)
    return rows + [
        (kind.value, f"{count} file{'' if count == 1 else 's'}", format_bytes(sizes[kind])) for kind, count in counts.items()
    ]


def pruning_json(pruning: Pruning, *, dry_run: bool) -> dict[str, object]:
    """What went, as `prune --json` shows it (docs/json.md)."""
    return {
        "dry_run": dry_run,
        "freed_bytes": pruning.freed_bytes,
        "removed": [
            {"kind": item.kind.value, "path": str(item.path), "size": item.size, "used": time_text(int(item.used_s * 1000))}
            for item in pruning.removed
        ],
        "kept": [{"kind": item.kind.value, "path": str(item.path), "needed_by": item.needed_by} for item in pruning.kept],
    }
