"""`--show tree`: every entry of the image with its size and why it is there; sums by part at the end."""

from __future__ import annotations

from collections import Counter

from squib.cli.escaping import one_line
from squib.model.tree import Device, Directory, File, RootfsTree, Symlink
from squib.model.units import format_bytes

__all__ = ["show_tree"]


def show_tree(rootfs: RootfsTree, initrd: RootfsTree | None) -> None:
    """Prints the trees."""
    for title, tree in (("rootfs.ext4", rootfs), ("initrd.img", initrd)):
        if tree is None:
            continue
        print(f"{title}: {len(tree.entries)} entries, {format_bytes(tree.total_bytes)}")
        width = max((len(_name(entry)) for entry in tree.entries), default=0)
        for entry in tree.entries:
            bytes_ = format_bytes(len(entry.data)) if isinstance(entry, File) else ""
            print(f"{_name(entry):{width}}  {bytes_:>10}  {one_line(entry.why)}".rstrip())
        print()
    print("by part:")
    parts = _parts(rootfs)
    width = max(map(len, parts), default=0)
    for part, size in parts.most_common():
        print(f"  {part:{width}}  {format_bytes(size):>10}")


def _name(entry: Directory | File | Symlink | Device) -> str:
    match entry:
        case Directory():
            return one_line(entry.path) + "/"
        case Symlink():
            return one_line(f"{entry.path} -> {entry.target}")
        case _:
            return one_line(entry.path)


def _parts(tree: RootfsTree) -> Counter[str]:
    sizes: Counter[str] = Counter()
    for entry in tree.entries:
        if isinstance(entry, File):
            sizes[one_line("/".join(entry.path.split("/")[:4]))] += len(entry.data)
    return sizes
